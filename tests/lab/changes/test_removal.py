"""A node is left out of the stack file: its guests go on elsewhere, it leaves the cluster, and its VM goes at last."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import outer_host
from tests.support.bad_world import refusal, succeeded
from tests.support.fourth_node import FOURTH, NODE4, nodes_of_guests
from tests.support.processes import end_all
from tests.support.program import stack_file

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

THREE = stack_file("dev")
NODES = {node["name"]: node["address"] for node in THREE["nodes"]}
ADDRESS4 = str(NODE4["address"])
KEPT = "ls /var/lib/nested-pve-ha/removed/proxmox04-*.tar.gz"
GUESTS = {"vm:200": "started", "ct:300": "started"}


def shell(project: LabProject, address: str, command: str) -> str:
    return succeeded(project.ssh(address, command)).output


def services(project: LabProject) -> dict[str, dict[str, Any]]:
    text = shell(project, NODES["proxmox01"], "pvesh get /cluster/ha/status/current --output-format json")
    return {entry["sid"]: entry for entry in json.loads(text) if entry["type"] == "service"}


def vms(project: LabProject) -> set[str]:
    """The numbers of the VMs of the outer host."""
    return {line.split()[0] for line in shell(project, outer_host.OUTER, "qm list").splitlines()[1:]}


def three_are_left(project: LabProject) -> None:
    """Three nodes, quorate with three votes, in the eyes of each; nothing is left of the fourth, and the guests run."""
    for address in NODES.values():
        status = shell(project, address, "pvecm status")
        for key, value in (("Expected votes", 3), ("Total votes", 3), ("Nodes", 3), ("Quorate", "Yes")):
            assert re.search(rf"^{key}:\s+{value}\b", status, re.MULTILINE), status
        assert "disconnected" not in shell(project, address, "corosync-cfgtool -s")
        assert sorted(shell(project, address, "ls /etc/pve/nodes").split()) == sorted(NODES)
        assert "root@proxmox04" not in shell(project, address, "cat /etc/pve/priv/authorized_keys")
        assert "root@proxmox03" in shell(project, address, "cat /etc/pve/priv/authorized_keys")
    assert any(project.ssh(address, KEPT).code == 0 for address in NODES.values())
    found = services(project)
    assert {sid: entry["state"] for sid, entry in found.items()} == GUESTS
    for sid, entry in found.items():
        tool, vmid = ("qm", "200") if sid.startswith("vm") else ("pct", "300")
        assert "running" in shell(project, NODES[entry["node"]], f"{tool} status {vmid}")
    assert vms(project) == {"101", "102", "103"}
    assert not is_in_maintenance(project)
    assert "leaving" not in shell(project, NODES["proxmox01"], "ls /etc/pve/nested-pve-ha")


def is_in_maintenance(project: LabProject) -> bool:
    """Whether HA was asked to have the fourth node in maintenance."""
    status = json.loads(shell(project, NODES["proxmox01"], "cat /etc/pve/ha/manager_status"))
    return bool(status.get("node_request", {}).get(FOURTH, {}).get("maintenance"))


def nothing_is_left_to_do(project: LabProject) -> None:
    succeeded(project.admin("status"))
    succeeded(
        project.pulumi("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
    )


@pytest.mark.story
def test_a_guest_that_cannot_go_is_named_and_nothing_is_moved(four: LabProject) -> None:
    shell(four, ADDRESS4, "qm create 900 --name stays --memory 64 --scsi0 local-lvm:1")
    four.configure(THREE)
    try:
        text = refusal(four.admin("up"), "guest-cannot-leave")
    finally:
        four.ssh(ADDRESS4, "qm destroy 900 --purge")
    assert "vm:900 (stays): scsi0 is on local-lvm, which is not shared" in text
    assert nodes_of_guests(four) == {FOURTH}
    assert not is_in_maintenance(four)
    assert four.ssh(ADDRESS4, "pvecm status").output.count("\n0x0000000") == 4
    assert "104" in vms(four)


def test_a_node_that_is_left_out_leaves_the_cluster(four: LabProject) -> None:
    four.configure(THREE)
    succeeded(four.admin("up"))
    three_are_left(four)
    nothing_is_left_to_do(four)


@pytest.mark.story
def test_a_removal_that_is_killed_goes_on(four: LabProject) -> None:
    four.configure(THREE)
    run = four.start_admin("up")
    try:
        # Its guests have left by then, and it is still on the list.
        assert four.eventually(lambda: not is_on(four), 180)
    finally:
        end_all(run.pid)
        run.wait()
    assert "104" in vms(four)
    assert is_in_maintenance(four)
    succeeded(four.admin("up"))
    three_are_left(four)
    nothing_is_left_to_do(four)


@pytest.mark.story
def test_a_removal_that_is_taken_back_leaves_the_node_in_use(four: LabProject) -> None:
    wanted = four.configuration()
    four.configure(THREE)
    run = four.start_admin("up")
    try:
        assert four.eventually(lambda: is_in_maintenance(four), 180)
    finally:
        end_all(run.pid)
        run.wait()
    assert "leaving" in shell(four, NODES["proxmox01"], "ls /etc/pve/nested-pve-ha")
    four.configure(wanted)
    succeeded(four.admin("up"))  # ends with what `status` shows
    assert not is_in_maintenance(four)
    assert "leaving" not in shell(four, NODES["proxmox01"], "ls /etc/pve/nested-pve-ha")
    assert four.eventually(lambda: nodes_of_guests(four) == {FOURTH}, 120)


def is_on(project: LabProject) -> bool:
    machines = json.loads(project.lab("status", "--json").output)["machines"]
    return next((bool(one["on"]) for one in machines if one["name"] == FOURTH), False)


@pytest.mark.story
def test_a_node_that_is_off_already_leaves_as_well(four: LabProject) -> None:
    succeeded(four.lab("node", "kill", FOURTH))
    four.configure(THREE)
    succeeded(four.admin("up"))
    three_are_left(four)
    nothing_is_left_to_do(four)
