"""Votes, priorities, links and settings of the live cluster become others, with the real corosync, while its guests run."""

from __future__ import annotations

import itertools
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import NODES, boot_ids
from tests.lab.job.test_growth import processes
from tests.support.bad_world import refusal, succeeded
from tests.support.processes import end_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.lab_project import LabProject

CONF = "cat /etc/pve/corosync.conf"
# Twice a second: whether this node is quorate. It goes on until its file is gone.
WATCH = """\
touch /run/watched; while [ -e /run/watched ]; do
  corosync-quorumtool -s 2>&1 | grep -E '^Quorate: ' || echo 'Quorate: unknown'; sleep 0.5
done > /run/watch.log 2>&1 &
"""


@contextmanager
def quorum_is_kept(cluster: LabProject) -> Iterator[None]:
    """Every node is quorate at each look meanwhile, no guest starts anew, and no node."""
    before = boot_ids(cluster), processes(cluster)
    for address in NODES.values():
        succeeded(cluster.ssh(address, f"nohup sh -c '{WATCH.replace(chr(39), chr(34))}' >/dev/null 2>&1"))
    try:
        yield
    finally:
        seen = {
            name: cluster.ssh(address, "rm /run/watched; cat /run/watch.log").output for name, address in NODES.items()
        }
    for name, text in seen.items():
        words = {line.split()[-1] for line in text.splitlines()}
        assert words == {"Yes"}, f"{name}: {text}"
        assert len(text.splitlines()) > 10, f"{name} was not looked at: {text}"
    assert (boot_ids(cluster), processes(cluster)) == before


def changed(cluster: LabProject, change: Callable[[dict[str, Any]], None]) -> str:
    """Describe something else, and get there."""
    values = cluster.configuration()
    change(values)
    cluster.configure(values)
    return succeeded(cluster.admin("up")).output  # which ends with a look at all nodes


def nothing_is_left_to_do(cluster: LabProject) -> None:
    version = on(cluster, "proxmox01", "grep config_version /etc/pve/corosync.conf")
    assert "0 changes" in succeeded(cluster.admin("up")).output
    assert on(cluster, "proxmox01", "grep config_version /etc/pve/corosync.conf") == version


def on(cluster: LabProject, name: str, command: str) -> str:
    return succeeded(cluster.ssh(NODES[name], command)).output


def links(cluster: LabProject) -> set[str]:
    """What corosync of each node uses: "0 10.10.1.185->10.10.1.186"; only connected ones."""
    shown = "".join(on(cluster, name, "corosync-cfgtool -n") for name in NODES)
    return {f"{row[1]} {row[2]}" for row in re.finditer(r"LINK: (\d) udp \((\S+)\) enabled connected", shown)}


@pytest.mark.story
def test_votes_become_others_and_come_back(cluster: LabProject) -> None:
    def votes(number: int) -> Callable[[dict[str, Any]], None]:
        return lambda values: values["nodes"][0].update(votes=number)

    levels = cluster.directory / "Pulumi.dev.policy.json"
    kept = levels.read_text()
    levels.write_text(json.dumps({**json.loads(kept), "no-node-decides-alone": "disabled"}))
    before = on(cluster, "proxmox01", CONF)
    with quorum_is_kept(cluster):
        changed(cluster, votes(2))
        for name in NODES:
            assert re.search(r"^Expected votes:\s+4", on(cluster, name, "pvecm status"), re.MULTILINE)
        nothing_is_left_to_do(cluster)
        changed(cluster, votes(1))
    levels.write_text(kept)
    after = on(cluster, "proxmox01", CONF)
    assert re.sub(r"config_version: \d+", "", after) == re.sub(r"config_version: \d+", "", before)


@pytest.mark.story
def test_priorities_and_settings_become_others_without_a_restart(cluster: LabProject) -> None:
    started = on(cluster, "proxmox02", "systemctl show -p ActiveEnterTimestampMonotonic corosync")

    def other(values: dict[str, Any]) -> None:
        first, second = values["cluster"]["links"]
        first["priority"], second["priority"] = second["priority"], first["priority"]
        values["cluster"]["totem"] = {"tokenMs": 4000}

    with quorum_is_kept(cluster):
        changed(cluster, other)
    for name in NODES:
        text = on(cluster, name, "cat /etc/corosync/corosync.conf; corosync-cmapctl -g runtime.config.totem.token")
        assert dict(re.findall(r"knet_link_priority: (\d+)\s+linknumber: (\d)", text)) == {"10": "0", "20": "1"}
        # Proxmox VE's coefficient adds 125 ms for the third node.
        assert "runtime.config.totem.token (u32) = 4125" in text
    assert on(cluster, "proxmox02", "systemctl show -p ActiveEnterTimestampMonotonic corosync") == started


@pytest.mark.story
def test_another_link_mode_restarts_one_corosync_after_another(cluster: LabProject) -> None:
    def other(values: dict[str, Any]) -> None:
        values["cluster"]["totem"] = {"linkMode": "active"}

    before = boot_ids(cluster), processes(cluster)
    started = {name: starts_of_corosync(cluster, name) for name in NODES}
    assert "link_mode" not in on(cluster, "proxmox01", f"{CONF} | grep -v passive")
    with real_delays_of_ha(cluster):
        changed(cluster, other)
    again = {name: starts_of_corosync(cluster, name) for name in NODES}
    for name in NODES:
        assert "link_mode: active" in on(cluster, name, "cat /etc/corosync/corosync.conf")
        # What runs, not what is written.
        assert "totem.link_mode (str) = active" in on(cluster, name, "corosync-cmapctl -g totem.link_mode")
        assert len(again[name] - started[name]) == 1, (name, started, again)
    # A node's corosync is up, in the eyes of all, before the next one's stops: their starts are seconds apart.
    moments = sorted(moment for name in NODES for moment in again[name] - started[name])
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(moments)), moments
    assert (boot_ids(cluster), processes(cluster)) == before
    nothing_is_left_to_do(cluster)


@contextmanager
def real_delays_of_ha(cluster: LabProject) -> Iterator[None]:
    """A watchdog waits for a minute, as the real one: on a busy machine corosync takes longer to restart than the lab's waits."""

    def set_to(scale: str) -> None:
        for name in NODES:
            on(cluster, name, SCALE.format(scale=scale))

    usual = re.findall(r'"time_scale": ([0-9.]+)', on(cluster, "proxmox01", "cat /run/pve-lab/machine.json"))[0]
    set_to("1.0")
    try:
        yield
    finally:
        set_to(usual)


SCALE = """\
sed -i 's/"time_scale": [0-9.]*/"time_scale": {scale}/' /run/pve-lab/machine.json
systemctl stop pve-ha-lrm pve-ha-crm && systemctl restart watchdog-mux && systemctl start pve-ha-crm pve-ha-lrm
"""


def starts_of_corosync(cluster: LabProject, name: str) -> set[float]:
    """When this boot's corosync was started, each time, in seconds."""
    text = on(
        cluster, name, "journalctl -b -u corosync -o short-unix --no-pager | grep 'Corosync Cluster Engine.*starting'"
    )
    return {float(line.split()[0]) for line in text.splitlines()}


BY_HAND = """\
cp /etc/pve/corosync.conf /root/corosync.conf
version=$(sed -n 's/^ *config_version: //p' /root/corosync.conf)
sed -i "s/config_version: $version/config_version: $((version + 1))/; s/knet_link_priority: .*/knet_link_priority: 77/" \\
  /root/corosync.conf
cp /root/corosync.conf /etc/pve/corosync.conf
"""


@pytest.mark.story
def test_an_edit_by_hand_is_seen_and_put_back(cluster: LabProject) -> None:
    def priorities(name: str) -> list[str]:
        return re.findall(r"knet_link_priority: (\d+)", on(cluster, name, "cat /etc/corosync/corosync.conf"))

    before = priorities("proxmox02")
    on(cluster, "proxmox01", BY_HAND)
    assert cluster.eventually(lambda: set(priorities("proxmox02")) == {"77"}, 30)
    seen = cluster.admin("status")
    assert seen.code == 1
    assert "link 0 has priority 77" in seen.output
    assert "priority 77" not in succeeded(cluster.admin("preview")).output
    looked = succeeded(cluster.admin("preview", "--look")).output
    for number, priority in enumerate(before):
        assert f"link {number} has priority 77, not {priority}" in looked
        assert f"link {number} gets priority {priority}" in looked
    with quorum_is_kept(cluster):
        put_back = succeeded(cluster.admin("up"))
    assert "corosync.conf is not as described" in put_back.output
    assert priorities("proxmox02") == before
    nothing_is_left_to_do(cluster)


def test_the_addresses_of_a_link_become_others_on_all_nodes(cluster: LabProject) -> None:
    def moved(values: dict[str, Any]) -> None:
        for number, node in enumerate(values["nodes"], start=1):
            node["links"][1] = f"10.20.1.9{number}"

    before = {node["name"]: node["links"][1] for node in cluster.configuration()["nodes"]}
    with quorum_is_kept(cluster):
        changed(cluster, moved)
        nothing_is_left_to_do(cluster)
    assert {"1 10.20.1.91->10.20.1.92", "1 10.20.1.93->10.20.1.91", "1 10.20.1.92->10.20.1.93"} <= links(cluster)
    for name, former in before.items():
        interfaces = on(cluster, name, "cat /etc/network/interfaces; ip -br addr")
        assert "10.20.1.9" in interfaces
        assert former not in interfaces


@pytest.mark.story
def test_a_link_comes_to_a_live_cluster_and_goes_again(cluster: LabProject) -> None:
    def added(values: dict[str, Any]) -> None:
        values["outerHosts"][0]["bridges"].append({"name": "vmbr4", "address": "10.40.1.1/24"})
        values["cluster"]["links"].append({"subnet": "10.40.1.0/24", "priority": 5})
        for number, node in enumerate(values["nodes"], start=1):
            node["links"].append(f"10.40.1.9{number}")

    def taken(values: dict[str, Any]) -> None:
        values["outerHosts"][0]["bridges"].pop()
        values["cluster"]["links"].pop()
        for node in values["nodes"]:
            node["links"].pop()

    with quorum_is_kept(cluster):
        changed(cluster, added)
        assert {"2 10.40.1.91->10.40.1.92", "2 10.40.1.93->10.40.1.91"} <= links(cluster)
        changed(cluster, taken)
        assert {one[0] for one in links(cluster)} == {"0", "1"}
    for name in NODES:
        assert "10.40.1" not in on(cluster, name, "cat /etc/network/interfaces; ip -br addr")


@pytest.mark.story
def test_a_preview_that_looks_ends_where_the_live_cluster_refuses_the_run(cluster: LabProject) -> None:
    """Link 0 gets another address, while link 1 is cut between two nodes: they would lose each other."""
    kept, before = cluster.configuration(), on(cluster, "proxmox01", CONF)
    succeeded(cluster.lab("link", "cut", "proxmox01", "1"))
    try:
        assert cluster.eventually(lambda: "disconnected" in on(cluster, "proxmox01", "corosync-cfgtool -s"))
        values = cluster.configuration()
        values["nodes"][1]["links"][0] = "10.10.1.196"
        cluster.configure(values)
        assert "10.10.1.196" in succeeded(cluster.admin("preview")).output
        looked = refusal(cluster.admin("preview", "--look"), "link-last")
        assert "bring link 1 between proxmox01 and proxmox02 back" in looked
        assert refusal(cluster.admin("up"), "link-last") == looked
    finally:
        cluster.configure(kept)
        succeeded(cluster.lab("link", "restore", "proxmox01", "1"))
    assert on(cluster, "proxmox01", CONF) == before


@pytest.mark.story
def test_a_change_that_does_not_work_is_undone(cluster: LabProject) -> None:
    """The preflight proves the addresses; then the world cuts the link, before corosync uses them."""
    before = links(cluster)
    _describe(cluster, 8, timeoutS=30)
    run = cluster.start_admin("up")
    assert cluster.eventually(lambda: _is_out_of_use(cluster), 120)
    succeeded(cluster.lab("link", "cut", "proxmox02", "1"))
    output, _ = run.communicate(timeout=300)
    try:
        assert run.returncode != 0
        assert "error[change-undone]" in output
        assert "link 1 from proxmox01 to proxmox02 is not connected" in output
        assert "10.20.1.8" not in on(cluster, "proxmox01", CONF)
    finally:
        succeeded(cluster.lab("link", "restore", "proxmox02", "1"))
    assert cluster.eventually(lambda: links(cluster) == before, 60), links(cluster)
    succeeded(cluster.admin("up"))  # the same command again, in a world that is well
    assert "1 10.20.1.81->10.20.1.82" in links(cluster)


def _describe(cluster: LabProject, tens: int, **more: Any) -> None:  # noqa: ANN401 - values of the stack file
    """Other addresses for link 1."""
    values = cluster.configuration()
    values["cluster"].update(more)
    for number, node in enumerate(values["nodes"], start=1):
        node["links"][1] = f"10.20.1.{tens}{number}"
    cluster.configure(values)


def _is_out_of_use(cluster: LabProject) -> bool:
    return "ring1_addr" not in on(cluster, "proxmox01", CONF)


@pytest.mark.story
def test_killed_in_the_middle_and_run_again(cluster: LabProject) -> None:
    _killed_at(cluster, 6, lambda: _is_out_of_use(cluster))
    _killed_at(cluster, 7, lambda: "10.20.1.7" in on(cluster, "proxmox01", CONF))
    nothing_is_left_to_do(cluster)


def _killed_at(cluster: LabProject, tens: int, is_there: Callable[[], bool]) -> None:
    """A change of link 1's addresses is killed at that moment; the next run ends it."""
    _describe(cluster, tens)
    run = cluster.start_admin("up")
    try:
        assert cluster.eventually(is_there, 120)
    finally:
        end_all(run.pid)
        run.wait()
    with quorum_is_kept(cluster):
        succeeded(cluster.admin("up"))
    assert f"1 10.20.1.{tens}1->10.20.1.{tens}2" in links(cluster)
    assert f"10.20.1.{tens}1" in on(cluster, "proxmox01", "ip -br addr")
