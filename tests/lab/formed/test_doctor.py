"""`doctor` on a cluster of three nodes that people broke by the very commands that people use; and `adopt`, which describes it.

Each mess is named first, and nothing beside it that only follows from it; the look leaves nothing behind; and where the advice is
a command, that very command mends it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.lab.conftest import eventually
from tests.lab.proxmox import NUMBERS
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.formed.conftest import Formed
    from tests.lab.proxmox import Proxmox
    from tests.support.lab_project import Run

WITHIN_S = 90.0
# Files with their sizes and times, and which start of each service runs. What HA writes every few seconds is left out.
TRACES = """
find /etc /root /usr/local /var/lib/corosync /var/lib/nested-pve-ha -xdev -type f -printf '%p %s %T@\\n' 2>/dev/null | sort
find /etc/pve -type f 2>/dev/null | grep -v -e /lock/ -e _status | sort
cat /etc/pve/corosync.conf 2>/dev/null
systemctl show -p Id,ActiveState,InvocationID corosync pve-cluster pvedaemon pveproxy pve-ha-crm pve-ha-lrm watchdog-mux
"""
# What the first run on an adopted cluster is to leave as it is: configuration, members, their network and packages, and who runs since when.
OF_THE_CLUSTER = """
cat /etc/pve/corosync.conf /etc/corosync/corosync.conf /etc/hosts /etc/network/interfaces /etc/network/interfaces.d/*
sha256sum /etc/corosync/authkey /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null
cat /etc/pve/storage.cfg /proc/sys/kernel/random/boot_id; ls /etc/pve/nodes; dpkg -l | sha256sum
systemctl show -p Id,ActiveState,InvocationID corosync pve-cluster
"""
RESET = """
cd /root; systemctl stop pve-ha-lrm pve-ha-crm pve-cluster corosync
pmxcfs -l; rm -f /etc/pve/corosync.conf; rm -f /etc/corosync/authkey /etc/corosync/corosync.conf
killall pmxcfs; while pgrep -x pmxcfs >/dev/null; do sleep 0.2; done
rm -f /var/lib/corosync/*; systemctl start pve-cluster
pvecm updatecerts --force; systemctl restart pvedaemon pveproxy; systemctl start pve-ha-crm pve-ha-lrm
"""


class Doctor:
    """The command, as a person calls it on a stack file that describes the cluster."""

    def __init__(self, project: LabProject, nodes: Proxmox) -> None:
        self.project, self.nodes = project, nodes
        described = project.configuration()
        described["cluster"]["name"] = "proxmox"
        project.configure(
            {key: value for key, value in described.items() if key not in ("storages", "templates", "guests")}
        )

    def json(self) -> tuple[int, dict[str, Any]]:
        """The exit code, and the document."""
        run = self.project.admin("doctor", "--json")
        assert "{" in run.output, run.output
        document, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("{") :])
        return run.code, document

    def causes(self) -> list[str]:
        """Name and place of each, in order."""
        code, document = self.json()
        found = [f"{cause['name']} {cause['where']}" for cause in document["causes"]]
        assert (code == 0) == (not found) == document["healthy"]
        return found

    def settled(self, *wanted: str) -> None:
        """Wait until exactly these are the causes."""
        deadline = time.monotonic() + WITHIN_S
        while (found := self.causes()) != list(wanted):
            assert time.monotonic() < deadline, f"{found}, not {list(wanted)}"

    def first_of(self, *wanted: str) -> int:
        """Wait until the first cause is one of these; how many causes there are."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := self.causes()) or found[0] not in wanted:
            assert time.monotonic() < deadline, f"{found}, not one of {list(wanted)}"
        return len(found)

    def advice(self) -> str:
        """What follows `next:` of the first cause, up to what is only for the case that it does not help."""
        return str(self.json()[1]["causes"][0]["next"]).partition("; ")[0]

    def follow_advice(self) -> None:
        """Run the advised command where it is to be run."""
        where, _colon, command = self.advice().partition(": ")
        if where == "on the console of pve2":
            self.nodes.console(2, command)
            return
        done = self.project.run(self.project.command("bash", "-c", self.advice()))
        assert done.code == 0, done.output


@pytest.fixture(scope="module")
def project(formed: Formed, tmp_path_factory: pytest.TempPathFactory) -> LabProject:
    return LabProject(tmp_path_factory.mktemp("doctor") / "project", formed.nodes.lab.state, "physical")


@pytest.fixture
def doctor(project: LabProject, cluster: Proxmox) -> Iterator[Doctor]:
    """The command; quiet again after each mess, and so before the next one."""
    doctor = Doctor(project, cluster)
    yield doctor
    eventually(lambda: all(map(cluster.sees_all, NUMBERS)), "every member sees all members again", 120)
    doctor.settled()


def traces(nodes: Proxmox, *numbers: int) -> list[str]:
    return [nodes.sh(number, TRACES) for number in numbers or NUMBERS]


def test_a_healthy_cluster_is_left_as_it_is(doctor: Doctor) -> None:
    doctor.settled()  # the cluster was made a moment ago
    before = traces(doctor.nodes)
    run = doctor.project.admin("doctor")
    assert run.code == 0, run.output
    assert "cluster proxmox: 3 members, quorate with 3 of 3 votes, 2 needed; nothing is wrong" in run.output
    assert "0✓ 1✓" in run.output
    assert traces(doctor.nodes) == before
    doctor.nodes.sh(2, "touch /root/a-file-of-somebodys")  # the comparison would see it
    assert traces(doctor.nodes) != before
    doctor.nodes.sh(2, "rm /root/a-file-of-somebodys")


def test_a_stack_file_is_written_of_the_cluster_and_describes_it_as_it_is(doctor: Doctor) -> None:
    """It is as if nobody had described it: another name of a stack, and what that stack's preview would change."""
    nodes, project = doctor.nodes, doctor.project

    def cli(command: str, *words: str) -> Run:
        return project.run(project.command(".venv/bin/python", "-m", "cli", command, "--stack", "found", *words))

    def adopt(fingerprint: str) -> Run:
        return cli("adopt", "--endpoint", "https://192.168.0.101:8006", "--fingerprint", fingerprint)

    file = project.directory / "Pulumi.found.yaml"
    before = traces(nodes)
    unconfirmed = adopt("")
    assert "error[adopt-unconfirmed]" in unconfirmed.output
    assert not file.exists()
    keys = nodes.console(1, "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done")
    (shown,) = [word for word in keys.split() if word.startswith("SHA256:") and word in unconfirmed.output]
    done = adopt(shown)
    assert done.code == 0, done.output
    assert traces(nodes) == before

    document = yaml.safe_load(file.read_text())["config"]
    described = {key.removeprefix("nested-pve-ha:"): value for key, value in document.items()}
    own = project.configuration()
    assert [(node["name"], node["nodeId"], node["address"], node["links"]) for node in described["nodes"]] == [
        (node["name"], node["nodeId"], node["address"], node["links"]) for node in own["nodes"]
    ]
    assert described["cluster"]["name"] == "proxmox"
    assert described["cluster"]["links"] == own["cluster"]["links"]
    assert {"kind": "external", "name": "local", "shared": False} in described["storages"]

    preview = cli("preview", "--look")
    assert preview.code == 0, preview.output
    assert traces(nodes) == before
    assert "error[adopt-exists]" in adopt(shown).output

    of_the_cluster = [nodes.sh(number, OF_THE_CLUSTER) for number in NUMBERS]
    try:
        run = cli("up", "--yes")
        assert run.code == 0, run.output
        assert [nodes.sh(number, OF_THE_CLUSTER) for number in NUMBERS] == of_the_cluster
        assert "cluster proxmox is as described: 3 members, quorate with 3 of 3 votes" in run.output
    finally:
        gone = cli("down", "--yes")
    assert gone.code == 0, gone.output
    assert [nodes.sh(number, OF_THE_CLUSTER) for number in NUMBERS] == of_the_cluster


@pytest.mark.parametrize(
    ("mess", "cause"),
    [
        pytest.param("systemctl stop corosync", "corosync-stopped pve2", id="corosync stopped"),
        pytest.param("systemctl stop pve-cluster", "pmxcfs-stopped pve2", id="pmxcfs stopped"),
        pytest.param("systemctl stop pve-cluster corosync", "services-in-disorder pve2", id="both stopped"),
        pytest.param("systemctl stop pve-cluster; pmxcfs -l", "pmxcfs-local pve2", id="pmxcfs in local mode"),
        pytest.param("systemctl stop pveproxy", "services-stopped pve2", id="the API stopped"),
        pytest.param(
            "systemctl stop corosync; sed -i 's/^nodelist {/nodelist/' /etc/corosync/corosync.conf; systemctl start corosync",
            "local-conf-broken pve2",
            id="corosync.conf broken by hand",
        ),
        pytest.param(
            "systemctl stop corosync; sed -i 's/config_version: .*/config_version: 90/' /etc/corosync/corosync.conf; "
            "systemctl start corosync",
            "local-conf-newer pve2",
            id="corosync.conf raised on one node only",
        ),
        pytest.param(
            "systemctl stop corosync; head -c 256 /dev/urandom >/etc/corosync/authkey; systemctl start corosync",
            "authkey-differs pve2",
            id="another key",
        ),
        pytest.param("systemctl stop watchdog-mux", "watchdog-missing pve2", id="no watchdog"),
    ],
)
def test_what_one_command_broke_is_named_and_mended(doctor: Doctor, mess: str, cause: str) -> None:
    nodes = doctor.nodes
    nodes.ssh(2, mess)  # a service that is started with a broken file fails
    doctor.settled(cause)
    doctor.follow_advice()


def test_a_broken_cluster_is_left_as_it_is_too(doctor: Doctor) -> None:
    doctor.nodes.sh(2, "systemctl stop corosync")
    doctor.settled("corosync-stopped pve2")
    before = traces(doctor.nodes)
    assert doctor.causes() == ["corosync-stopped pve2"]
    assert traces(doctor.nodes) == before
    doctor.nodes.sh(2, "systemctl start corosync")


def test_links_that_are_cut(doctor: Doctor) -> None:
    lab = doctor.nodes.lab
    lab.do("link", "cut", "pve2", "0")
    # Which of the two it is depends on whether the card notices that its cable is out.
    assert doctor.first_of("link-end-down pve2", "link-address-down pve2") == 1
    lab.do("link", "cut", "pve2", "1")
    doctor.settled("cut-off pve2")
    assert "no answer to a ping on any of its links" in doctor.json()[1]["causes"][0]["why"]
    lab.do("link", "restore", "pve2", "0")
    lab.do("link", "restore", "pve2", "1")
    for number in NUMBERS:
        lab.do("link", "cut", f"pve{number}", "1")
    doctor.settled("link-down cluster")
    for number in NUMBERS:
        lab.do("link", "restore", f"pve{number}", "1")


def test_nodes_that_are_off(doctor: Doctor) -> None:
    lab = doctor.nodes.lab
    lab.do("node", "kill", "pve3")
    doctor.settled("node-off pve3")
    lab.do("node", "kill", "pve2")
    doctor.settled("quorum-lost cluster")
    found = doctor.json()[1]
    assert "1 of 3 votes, 2 needed" in found["causes"][0]["what"]
    assert not found["cluster"]["quorate"]
    # The way out for those who have lost both: what stands behind "only if".
    doctor.nodes.sh(1, "pvecm expected 1")
    eventually(lambda: doctor.nodes.is_writable(1), "pve1 is quorate")
    lab.do("node", "start", "pve2")
    lab.do("node", "start", "pve3")


def test_a_name_that_leads_to_the_loopback(doctor: Doctor) -> None:
    """Debian's own line: pmxcfs runs on, until its next start."""
    nodes = doctor.nodes
    nodes.sh(2, "cp -a /etc/hosts /root/hosts.before; sed -i 's/^192.168.0.102/127.0.1.1/' /etc/hosts")
    doctor.settled("name-misleads pve2")
    assert "leads to 127.0.1.1" in doctor.json()[1]["causes"][0]["what"]
    nodes.sh(2, "mv /root/hosts.before /etc/hosts")


def test_a_node_that_was_removed_while_it_was_on(doctor: Doctor) -> None:
    """The end of F2: `delnode` on a node that is on."""
    nodes = doctor.nodes
    nodes.sh(1, "pvecm delnode pve3")
    doctor.settled("removed-while-on pve3")
    why = doctor.json()[1]["causes"][0]["why"]
    assert "pve1 and pve2 list pve1 and pve2" in why
    assert "pve3 lists" in why
    nodes.sh(3, RESET)
    doctor.settled("not-joined pve3")
    assert "successfully added node 'pve3' to cluster." in nodes.join(3).stdout
