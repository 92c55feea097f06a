"""An existing machine is left out: it leaves the cluster, stays powered off, and keeps its files. Later it is reset, and joins again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.bad_world import refusal, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lab_project import LabProject
    from tests.support.saved_lab import SavedLab

LEFT = {"pve1": "192.168.0.101", "pve2": "192.168.0.102"}
LEAVER = "192.168.0.103"
FILES = "sha256sum /etc/corosync/authkey /etc/network/interfaces /root/mine"
OWNER = "/var/lib/nested-pve-ha/stack"


@pytest.fixture
def machines(saved_physical: SavedLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Three existing machines, a cluster; the guest that the stack made runs under HA."""
    with saved_physical.project(tmp_path_factory.mktemp("leaves")) as project:
        yield project


def shell(project: LabProject, address: str, command: str) -> str:
    return succeeded(project.ssh(address, command)).output


def is_on(project: LabProject) -> bool:
    machines = json.loads(project.lab("status", "--json").output)["machines"]
    return next(bool(one["on"]) for one in machines if one["name"] == "pve3")


def votes(project: LabProject, address: str, count: int) -> None:
    status = shell(project, address, "pvecm status")
    for key, value in (("Expected votes", count), ("Total votes", count), ("Quorate", "Yes")):
        assert re.search(rf"^{key}:\s+{value}\b", status, re.MULTILINE), status


@pytest.mark.story
def test_an_existing_machine_leaves_and_can_come_back(machines: LabProject) -> None:
    described = machines.configuration()
    shell(machines, LEAVER, "echo mine > /root/mine")
    before = shell(machines, LEAVER, FILES)
    refusal(machines.admin("reset", "--node", "pve3", "--yes"), "still-a-member")
    a_link_before_another_goes_and_comes_back(machines)
    it_leaves_and_stays_off(machines)
    it_keeps_its_files(machines, before)
    it_is_reset_while_its_links_are_cut(machines)
    machines.configure(described)
    succeeded(machines.admin("up"))
    for address in (*LEFT.values(), LEAVER):
        votes(machines, address, 3)
    assert shell(machines, LEAVER, "cat /root/mine") == "mine\n"


def a_link_before_another_goes_and_comes_back(machines: LabProject) -> None:
    """The other link keeps its number: the numbers of a live cluster may have gaps."""
    described = machines.configuration()
    values = machines.configuration()
    levels = machines.directory / "Pulumi.physical.policy.json"
    levels.write_text(json.dumps({"corosync-two-links": "disabled"}))
    del values["cluster"]["links"][0]
    values["cluster"]["links"][0]["number"] = 1
    for node in values["nodes"]:
        del node["links"][0]
    machines.configure(values)
    succeeded(machines.admin("up"))
    assert connected(machines) == {"1"}
    assert "10.10.1.103" not in shell(machines, LEAVER, "ip -4 -brief addr; cat /etc/network/interfaces")
    assert "0 changes" in succeeded(machines.admin("up")).output
    machines.configure(described)
    levels.unlink()
    succeeded(machines.admin("up"))
    assert connected(machines) == {"0", "1"}
    assert "10.10.1.103" in shell(machines, LEAVER, "ip -4 -brief addr")


def connected(machines: LabProject) -> set[str]:
    """The numbers of the links over which each machine sees both others."""
    found = [
        re.findall(r"LINK: (\d) udp \(\S+\) enabled connected", shell(machines, address, "corosync-cfgtool -n"))
        for address in (*LEFT.values(), LEAVER)
    ]
    assert all(numbers.count(number) == len(LEFT) for numbers in found for number in numbers), found
    return {number for numbers in found for number in numbers}


def it_leaves_and_stays_off(machines: LabProject) -> None:
    values = machines.configuration()
    del values["nodes"][2], values["guests"]
    machines.configure(values)
    succeeded(machines.admin("up"))
    assert not is_on(machines)
    for address in LEFT.values():
        votes(machines, address, 2)
        assert sorted(shell(machines, address, "ls /etc/pve/nodes").split()) == sorted(LEFT)
        assert "pve3" not in shell(machines, address, "cat /etc/pve/ha/rules.cfg")
    succeeded(machines.admin("status"))
    succeeded(machines.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--policy-pack", "policy"))


def it_keeps_its_files(machines: LabProject, before: str) -> None:
    """Looked at while it cannot reach the others."""
    for link in ("0", "1"):
        machines.lab("link", "cut", "pve3", link)
    succeeded(machines.lab("node", "start", "pve3"))
    assert machines.eventually(lambda: machines.ssh(LEAVER, "true").code == 0, 120)
    assert shell(machines, LEAVER, FILES) == before
    assert "name: pve3" in shell(machines, LEAVER, "cat /etc/corosync/corosync.conf")


def it_is_reset_while_its_links_are_cut(machines: LabProject) -> None:
    succeeded(machines.admin("reset", "--node", "pve3", "--yes"))
    assert machines.ssh(LEAVER, "ls /etc/corosync/corosync.conf /etc/pve/corosync.conf /etc/corosync/authkey").code != 0
    assert shell(machines, LEAVER, "ls /etc/pve/nodes") == "pve3\n"
    assert "10.10.1.103" in shell(machines, LEAVER, "ip -4 -brief addr")
    assert machines.ssh(LEAVER, f"cat {OWNER}").code != 0
    assert "stand-alone already" in succeeded(machines.admin("reset", "--node", "pve3", "--yes")).output
    for link in ("0", "1"):
        machines.lab("link", "restore", "pve3", link)
