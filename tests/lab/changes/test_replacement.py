"""Members whose VM was destroyed, or that somebody installed anew, are replaced in one run; nobody else is touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import boot_ids, services
from tests.support.bad_world import succeeded
from tests.support.fourth_node import NODE4
from tests.support.outer_host import OUTER
from tests.support.program import stack_file

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

THREE = stack_file("dev")
NODES: dict[str, str] = {node["name"]: node["address"] for node in THREE["nodes"]}
GUESTS = {"vm:200": "started", "ct:300": "started"}
# As somebody does it who installs a machine again under its name, and lets the control machine in.
INSTALLED_ANEW = """
keys=$(cat /etc/pve/priv/authorized_keys)
systemctl stop pve-ha-lrm pve-ha-crm corosync pve-cluster
rm -rf /etc/corosync/* /var/lib/corosync/* /var/lib/pve-cluster/config.db* /var/lib/nested-pve-ha
systemctl start pve-cluster
until mkdir -p /etc/pve/priv; do sleep 0.2; done
echo "$keys" > /etc/pve/priv/authorized_keys
pvecm updatecerts --force
systemctl restart pvedaemon pveproxy
systemctl start pve-ha-crm pve-ha-lrm
"""


def shell(project: LabProject, address: str, command: str) -> str:
    return succeeded(project.ssh(address, command)).output


def lose(project: LabProject, *vmids: int) -> None:
    for vmid in vmids:
        shell(project, OUTER, f"qm stop {vmid} && qm destroy {vmid} --purge 1")


def vms(project: LabProject) -> set[str]:
    return {line.split()[0] for line in shell(project, OUTER, "qm list").splitlines()[1:]}


def is_whole(project: LabProject, nodes: dict[str, str]) -> None:
    """Each node sees all votes and all links, the guests run, and a second run has nothing to do."""
    for address in nodes.values():
        status = shell(project, address, "pvecm status")
        for key, value in (("Expected votes", len(nodes)), ("Total votes", len(nodes)), ("Quorate", "Yes")):
            assert re.search(rf"^{key}:\s+{value}\b", status, re.MULTILINE), status
        assert "disconnected" not in shell(project, address, "corosync-cfgtool -s")
    where = nodes["proxmox02"]
    # HA brings a guest home when the node that it prefers is back.
    assert project.eventually(lambda: {sid: one["state"] for sid, one in services(project, where).items()} == GUESTS)
    for sid, entry in services(project, where).items():
        tool, vmid = ("qm", "200") if sid.startswith("vm") else ("pct", "300")
        assert "running" in shell(project, nodes[entry["node"]], f"{tool} status {vmid}")
    again = ("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
    succeeded(project.pulumi(*again))
    succeeded(project.admin("status"))


def others(booted: dict[str, str], *lost: str) -> dict[str, str]:
    return {name: boot for name, boot in booted.items() if name not in lost}


def test_a_lost_member_is_installed_and_joins_again_in_one_run(three: LabProject) -> None:
    booted = boot_ids(three)
    lose(three, 102)
    first = NODES["proxmox01"]
    assert three.eventually(lambda: re.search(r"Total votes:\s+2\b", shell(three, first, "pvecm status")) is not None)
    previewed = succeeded(three.admin("preview", "--look"))
    assert "proxmox02: its VM is gone from its host" in previewed.output
    assert "proxmox02 is lost, since its VM is gone: its entry is released, and it joins again" in previewed.output
    assert "1. the entry of proxmox02, which is lost, goes, so that it can join anew;" in previewed.output
    assert "2. proxmox02 joins;" in previewed.output
    assert vms(three) == {"101", "103"}
    replaced = succeeded(three.admin("up"))
    assert "proxmox02: its VM is gone from its host" in replaced.output
    is_whole(three, NODES)
    assert others(boot_ids(three), "proxmox02") == others(booted, "proxmox02")
    assert boot_ids(three)["proxmox02"] != booted["proxmox02"]


@pytest.mark.story
def test_the_seed_is_replaced_as_any_other_node(three: LabProject) -> None:
    booted = boot_ids(three)
    lose(three, 101)
    replaced = succeeded(three.admin("up"))
    assert "storage-shared" not in replaced.output, "what lives in the cluster did not go with the seed"
    is_whole(three, NODES)
    assert others(boot_ids(three), "proxmox01") == others(booted, "proxmox01")


@pytest.mark.story
def test_another_seed_changes_nothing(three: LabProject) -> None:
    booted = boot_ids(three)
    values = three.configuration()
    values["cluster"]["seed"] = "proxmox03"
    three.configure(values)
    operations = three.preview_operations()
    assert {name for name in operations if not operations[name].startswith("update")} == set()
    assert "cluster-create" in operations
    succeeded(three.admin("preview"))
    succeeded(three.admin("up"))
    is_whole(three, NODES)
    assert boot_ids(three) == booted


@pytest.mark.story
def test_a_node_that_was_installed_anew_by_hand_joins_again(three: LabProject) -> None:
    """It has no guests: HA has let go of it, as of one that was away for long."""
    booted = boot_ids(three)
    assert "proxmox03" not in {entry["node"] for entry in services(three, NODES["proxmox01"]).values()}
    shell(three, NODES["proxmox03"], INSTALLED_ANEW)
    assert "does not exist" in three.ssh(NODES["proxmox03"], "pvecm status 2>&1").output
    joined = succeeded(three.admin("up"))
    assert "proxmox03: it is no member of a cluster" in joined.output
    is_whole(three, NODES)
    assert boot_ids(three) == booted


def fifth() -> dict[str, Any]:
    number = {"name": "proxmox05", "nodeId": 5, "vmid": 105, "address": "192.168.0.189"}
    return {**NODE4, **number, "links": ["10.10.1.189", "10.20.1.189"], "networks": ["10.30.1.189"]}


@pytest.mark.story
@pytest.mark.destroys  # five members stay
def test_two_of_five_are_replaced_at_once(three: LabProject) -> None:
    values = three.configuration()
    values["nodes"] += [NODE4, fifth()]
    values["outerHosts"][0] |= {"memoryMib": 16384, "diskGib": 256}
    three.configure(values)
    succeeded(three.admin("up"))
    booted = boot_ids(three)
    lose(three, 101, 104)
    succeeded(three.admin("up"))
    is_whole(three, {node["name"]: node["address"] for node in values["nodes"]})
    assert others(boot_ids(three), "proxmox01") == others(booted, "proxmox01")
