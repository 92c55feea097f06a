"""`repair` on a cluster with a guest under HA that people broke by the very commands that they use.

Doctor names each mess, repair ends it as far as that is possible from the control machine, and `up` joins what was reset. The first source
document has the edit of corosync.conf, the restarts after it and `pmxcfs -l`; the second one the node that was removed while it was on.
"""

from __future__ import annotations

import json
import re
import stat
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.bad_world import refusal, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.lab_project import LabProject, Run
    from tests.support.saved_lab import SavedLab

WITHIN_S = 120.0
NODES = {name: f"192.168.0.10{name[-1]}" for name in ("pve1", "pve2", "pve3")}
STARTS = "systemctl show -p Id,ActiveState,InvocationID corosync pve-cluster pvedaemon pveproxy pve-ha-crm pve-ha-lrm"
FILES = "sha256sum /etc/corosync/corosync.conf /etc/corosync/authkey /etc/pve/corosync.conf; ls /etc/pve/nodes"
# As Proxmox VE's manual says it, but for the brace that was lost.
EDIT = """
cd /etc/pve; next=$(( $(sed -n 's/.*config_version: //p' corosync.conf) + 1 ))
sed -e "s/config_version: .*/config_version: $next/" -e 's/^nodelist {/nodelist/' corosync.conf >corosync.conf.new
mv corosync.conf.new corosync.conf; echo $next
"""
# As the first source document says it; without a quorum, the last two take more than a minute.
RESTART = "systemctl restart corosync; systemctl restart pve-cluster; systemctl restart --no-block pvedaemon pveproxy"
# What is on the disk of a node that was off while pve3 joined: the first version of two nodes.
OLD = r"""
set -e
systemctl stop pve-cluster corosync
pmxcfs -l
sed '/^  node {$/{:a;N;/\n  }$/!ba;/name: pve3\n/d};s/config_version: .*/config_version: 2/' /etc/pve/corosync.conf >/root/old.conf
cp /root/old.conf /etc/corosync/corosync.conf
cp /root/old.conf /etc/pve/corosync.conf
rm /root/old.conf
killall pmxcfs
"""


class Repair:
    """The command, and what there is before and after it."""

    def __init__(self, project: LabProject) -> None:
        self.project = project

    def __call__(self, *words: str) -> Run:
        return self.project.admin("repair", *words)

    def sh(self, node: str, command: str) -> str:
        return succeeded(self.project.ssh(NODES[node], command)).output

    def causes(self) -> list[str]:
        run = self.project.admin("doctor", "--json")
        assert "{" in run.output, run.output
        document, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("{") :])
        return [f"{cause['name']} {cause['where']}" for cause in document["causes"]]

    def settled(self, *wanted: str) -> None:
        """Wait until exactly these are the causes."""
        deadline = time.monotonic() + WITHIN_S
        while (found := self.causes()) != list(wanted):
            assert time.monotonic() < deadline, f"{found}, not {list(wanted)}"

    def begins_with(self, wanted: str) -> None:
        """Wait until this is the first cause; what else there is may still change."""
        deadline = time.monotonic() + WITHIN_S
        while (found := self.causes())[:1] != [wanted]:
            assert time.monotonic() < deadline, f"{found}, and not {wanted} first"

    def backups(self) -> list[Path]:
        return sorted((self.project.directory / ".nested-pve" / "backups").glob("physical/*/files.tar.gz"))

    def traces(self) -> list[str]:
        return [self.sh(node, f"{STARTS}; {FILES}") for node in NODES]

    def has_nothing_to_do(self) -> None:
        """A further call says so, and changes nothing."""
        self.settled()
        before = self.traces(), self.backups()
        assert "nothing is wrong" in succeeded(self("--yes")).output
        assert (self.traces(), self.backups()) == before

    def place_of_the_guest(self) -> str:
        """The node on which HA has started it, and where it runs; empty while it does not."""
        status = self.project.ssh(NODES["pve1"], "ha-manager status").output
        found = re.search(r"^service vm:200 \((pve\d), started\)$", status, re.MULTILINE)
        runs = found is not None and "running" in self.project.ssh(NODES[found[1]], "qm status 200").output
        return found[1] if found and runs else ""

    def runs_the_guest(self) -> None:
        assert self.project.eventually(lambda: self.place_of_the_guest() != "", WITHIN_S)

    def guest_is_at_home(self) -> None:
        """Where its rule wants it: it moves back by itself."""
        assert self.project.eventually(lambda: self.place_of_the_guest() == "pve1", WITHIN_S)

    def fences_itself(self, node: str, before: str) -> None:
        assert self.project.eventually(lambda: self.boot(node) not in ("", before), WITHIN_S)

    def boot(self, node: str) -> str:
        return self.project.ssh(NODES[node], "cat /proc/sys/kernel/random/boot_id").output.strip()


@pytest.fixture(scope="module")
def lab_of_repairs(saved_physical: SavedLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Three existing machines, a cluster; the guest that the stack made runs under HA."""
    with saved_physical.project(tmp_path_factory.mktemp("repairs")) as project:
        yield project


@pytest.fixture
def repair(lab_of_repairs: LabProject) -> Repair:
    """The command on a healthy cluster."""
    made = Repair(lab_of_repairs)
    made.settled()
    made.runs_the_guest()
    return made


def test_services_that_were_stopped(repair: Repair) -> None:
    repair.sh("pve2", "systemctl stop corosync")
    repair.settled("corosync-stopped pve2")
    before, kept = repair.traces(), repair.backups()
    asked = repair()
    refusal(asked, "not-confirmed")
    assert "Repair services for: on pve2 corosync is inactive" in asked.output
    assert (repair.traces(), repair.backups()) == (before, kept)
    run = succeeded(repair("--yes"))
    assert "nothing is wrong" in run.output
    it_kept_what_the_node_had(repair, run, set(repair.backups()) - set(kept))
    repair.has_nothing_to_do()
    repair.sh("pve2", "systemctl stop pve-cluster; pmxcfs -l")
    repair.settled("pmxcfs-local pve2")
    succeeded(repair("--yes"))


def it_kept_what_the_node_had(repair: Repair, run: Run, made: set[Path]) -> None:
    (file,) = made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as archive:
        content = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
        key = content["etc/pve/priv/authkey.key"]
        assert key is not None
        secret = key.read().decode().splitlines()[1]
    assert {"etc/corosync/authkey", "etc/corosync/corosync.conf", "var/lib/pve-cluster/config.db"} <= set(content)
    own = repair.project.directory / ".nested-pve"
    texts = [path.read_text(errors="replace") for path in own.rglob("*") if path.is_file() and path != file]
    assert not [text for text in (run.output, *texts) if secret in text]


def test_a_node_whose_keys_are_away_is_for_a_person_at_its_console(repair: Repair) -> None:
    repair.sh("pve2", "systemctl stop pve-cluster corosync")
    repair.settled("services-in-disorder pve2")
    kept = repair.backups()
    said = refusal(repair("--yes"), "repair-left")
    assert "lets nobody in over SSH" in said
    assert "next: on the console of pve2: " in said
    assert repair.backups() == kept
    succeeded(repair.project.run([sys.executable, "-m", "lab", "node", "console", "pve2"], stdin=RESTART))
    repair.settled()


def test_a_corosync_conf_that_was_broken_by_hand(repair: Repair) -> None:
    """The edit reaches every member; the restart after it, on one node, fails."""
    version = int(repair.sh("pve1", EDIT))
    repair.project.ssh(NODES["pve2"], RESTART)
    repair.begins_with("shared-conf-broken cluster")
    run = succeeded(repair("--yes"))
    assert "what its corosync has loaded" in run.output
    for node in NODES:
        assert f"config_version: {version + 1}\n" in repair.sh(node, "cat /etc/pve/corosync.conf")
    repair.runs_the_guest()


def test_a_corosync_conf_that_was_broken_and_loaded_nowhere(repair: Repair) -> None:
    """The restart after the edit, on all nodes: no corosync runs, and the node with the guest fences itself."""
    repair.guest_is_at_home()
    boot = repair.boot("pve1")
    version = int(repair.sh("pve1", EDIT))

    def is_everywhere() -> bool:
        return all(
            f"config_version: {version}\n" in repair.sh(node, "cat /etc/corosync/corosync.conf") for node in NODES
        )

    assert repair.project.eventually(is_everywhere), "pmxcfs carries it to each node's own file"
    for node in ("pve3", "pve2", "pve1"):
        repair.project.ssh(NODES[node], RESTART)
    repair.fences_itself("pve1", boot)
    repair.begins_with("shared-conf-broken cluster")
    run = succeeded(repair("--yes"))
    assert "from the stack file (made from it, as no node has a whole one)" in run.output
    repair.runs_the_guest()


@pytest.mark.story
def test_a_node_that_was_removed_while_it_was_on_and_its_key(repair: Repair) -> None:
    """And what a join that was cut off leaves there: `authentication key already exists`."""
    repair.sh("pve1", "pvecm delnode pve3")
    repair.settled("removed-while-on pve3")
    run = repair("--yes")
    assert "pve1 and pve2 stay: version" in run.output
    assert "first not-joined (pve3)" in refusal(run, "repair-left")
    key = repair.sh("pve1", "base64 -w0 /etc/corosync/authkey")
    repair.sh("pve3", f"umask 077; base64 -d <<<{key} >/etc/corosync/authkey")
    repair.settled("keys-left-over pve3")
    assert "first not-joined (pve3)" in refusal(repair("--yes"), "repair-left")
    succeeded(repair.project.admin("up"))


@pytest.mark.story
def test_a_node_that_was_off_while_another_joined_needs_no_repair(repair: Repair) -> None:
    """It comes back with a corosync.conf without that one, and none of the two can vote with the other."""
    repair.sh("pve2", OLD)
    for act in ("kill", "start"):
        succeeded(repair.project.lab("node", act, "pve2"))
    repair.begins_with("local-conf-older pve2")
    run = succeeded(repair.project.admin("up"))
    assert "pve2 was off when the cluster changed: it gets the corosync.conf of" in run.output
    assert "pve3" in repair.sh("pve2", "cat /etc/corosync/corosync.conf")
    repair.has_nothing_to_do()
    repair.runs_the_guest()


def test_a_quorum_that_is_lost_for_good_and_those_who_come_back_all_the_same(repair: Repair) -> None:
    lab = repair.project.lab
    repair.guest_is_at_home()
    boot = repair.boot("pve1")
    for node in ("pve2", "pve3"):
        succeeded(lab("node", "kill", node))
    repair.fences_itself("pve1", boot)
    repair.begins_with("quorum-lost cluster")
    assert "LOST='pve2 pve3'" in refusal(repair("--yes"), "loss-unconfirmed")
    assert re.search(r"^Expected votes: +3$", repair.project.ssh(NODES["pve1"], "pvecm status").output, re.MULTILINE)
    run = repair("--yes", "--lost", "pve2 pve3")
    assert "the cluster has forgotten it" in refusal(run, "repair-left")
    status = repair.sh("pve1", "pvecm status")
    for key, value in (("Expected votes", "1"), ("Quorate", "Yes")):
        assert re.search(rf"^{key}:\s+{value}\b", status, re.MULTILINE), status
    repair.runs_the_guest()

    for node in ("pve2", "pve3"):
        for link in ("0", "1"):
            succeeded(lab("link", "cut", node, link))
        succeeded(lab("node", "start", node))
    repair.settled("cluster-split cluster")
    run = repair("--yes")
    assert "pve1 stays: version" in run.output
    assert "not-joined" in refusal(run, "repair-left")
    repair.project.mend()
    succeeded(repair.project.admin("up"))
    repair.has_nothing_to_do()
    repair.runs_the_guest()
