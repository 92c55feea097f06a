"""Machines that exist and are a cluster already: adopted as they are, given guests, and left alive when the stack goes."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.bad_world import refusal, succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = {"pve1": "192.168.0.101", "pve2": "192.168.0.102", "pve3": "192.168.0.103"}
LINKS = ("10.10.1", "10.20.1")
PRIORITIES = (20, 10)
OWNER = "/var/lib/nested-pve-ha/stack"
BEFORE = "cat /proc/sys/kernel/random/boot_id; sha256sum /etc/corosync/authkey /etc/corosync/corosync.conf; ls /etc/pve/nodes"


@pytest.fixture
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Three stand-alone nodes with shared storage; stack physical, nothing deployed."""
    directory = tmp_path_factory.mktemp("existing")
    project = LabProject(directory / "project", directory / "lab", "physical")
    try:
        succeeded(project.lab("up", "--shape", "physical"))
        yield project
    finally:
        project.lab("down")


def shell(project: LabProject, node: str, command: str) -> str:
    return succeeded(project.ssh(NODES[node], command)).output


def form_by_hand(project: LabProject) -> None:
    """What an administrator has typed once: link addresses, `pvecm create`, and two joins."""
    for number, node in enumerate(NODES, start=101):
        stanzas = "".join(
            f"\\nauto eth{card}\\niface eth{card} inet static\\n\\taddress {network}.{number}/24\\n"
            for card, network in enumerate((*LINKS, "10.30.1"), start=1)
        )
        shell(project, node, f"printf '{stanzas}' >> /etc/network/interfaces; ifreload -a")

    def links(number: int) -> str:
        named = zip(range(2), LINKS, PRIORITIES, strict=True)
        return " ".join(f"--link{link} {network}.{number},priority={priority}" for link, network, priority in named)

    shell(project, "pve1", f"pvecm create physical --nodeid 1 {links(101)}")
    password = project.credentials()["rootPassword"]
    for number, node in ((2, "pve2"), (3, "pve3")):
        fingerprint = shell(
            project, "pve1", "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2"
        ).strip()
        done = project.ssh(
            NODES[node],
            f"pvecm add 192.168.0.101 --nodeid {number} --fingerprint {fingerprint} {links(100 + number)}",
            limit_s=120,
            stdin=f"{password}\n",
        )
        assert project.eventually(partial(is_member, project, node)), done.output


def is_member(project: LabProject, node: str) -> bool:
    return node in members(project)


def members(project: LabProject) -> set[str]:
    """The cluster's members that are online, as the first node tells."""
    text = project.ssh(NODES["pve1"], "pvesh get /cluster/status --output-format json").output
    return {entry["name"] for entry in json.loads(text) if entry["type"] == "node" and entry.get("online")}


def identity(project: LabProject) -> dict[str, str]:
    """Each node's boot, and what makes the cluster this one."""
    return {node: shell(project, node, BEFORE) for node in NODES}


def running(project: LabProject) -> set[str]:
    text = shell(project, "pve2", "pvesh get /cluster/ha/status/current --output-format json")
    return {entry["sid"] for entry in json.loads(text) if entry["type"] == "service" and entry["state"] == "started"}


def test_a_cluster_made_by_hand_is_adopted_and_survives_the_stack(machines: LabProject) -> None:
    form_by_hand(machines)
    before = identity(machines)
    succeeded(machines.admin("up"))
    assert identity(machines) == before
    assert running(machines) == {"vm:200"}
    assert [shell(machines, node, f"cat {OWNER}") for node in NODES] == ["physical\n"] * 3
    succeeded(machines.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--policy-pack", "policy"))
    # Another stack has described them in the meantime, from a project folder of its own.
    shell(machines, "pve2", f"echo office > {OWNER}")
    assert "stack office" in refusal(machines.admin("up"), "machine-taken")
    shell(machines, "pve2", f"echo physical > {OWNER}")
    succeeded(machines.admin("down", "--yes"))
    assert [machines.ssh(NODES[node], f"ls {OWNER}").code == 0 for node in NODES] == [False] * 3
    assert identity(machines) == before
    assert members(machines) == set(NODES)
    assert re.search(r"^Quorate:\s+Yes", shell(machines, "pve3", "pvecm status"), re.MULTILINE)
    assert running(machines) == {"vm:200"}
