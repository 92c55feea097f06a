"""One cluster on two hosts: one runs Proxmox VE, the other libvirt. The links are bridges with ports on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import NODES, services
from tests.lab.libvirt.test_stack import the_cluster_is_well
from tests.support import kvm_host, outer_host
from tests.support.bad_world import succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

BRIDGES = [
    {"name": f"br{number}", "address": f"10.{number}0.1.2/24", "managed": False} for number in (1, 2, 3)
]  # their ports, which nobody here made, are not described


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Both hosts, with their cards in the same networks; nothing is deployed."""
    directory = tmp_path_factory.mktemp("mixed")
    found = LabProject(directory / "project", directory / "lab")
    try:
        succeeded(found.lab("up", "--shape", "mixed"))
        found.configure(described(found.configuration()))
        yield found
    finally:
        found.lab("down")


def described(values: dict[str, Any]) -> dict[str, Any]:
    """Stack dev with its third node on the other host."""
    (virtual,) = values["outerHosts"]
    for number, bridge in enumerate(virtual["bridges"], start=1):
        bridge.pop("dhcp", None)
        bridge["ports"] = [f"eth{number}"]
    kvmhost = {key: virtual[key] for key in ("cores", "memoryMib", "diskGib", "installer")}
    kvmhost |= {"name": "kvmhost", "kind": "libvirt", "address": kvm_host.ADDRESS, "managementBridge": "br0"}
    values["outerHosts"].append({**kvmhost, "bridges": BRIDGES})
    values["nodes"][2]["host"] = "kvmhost"
    return values


@pytest.mark.story
def test_nodes_on_a_host_of_each_kind_are_one_cluster(project: LabProject) -> None:
    before = outer_host.look(project), kvm_host.look(project)
    succeeded(project.admin("up"))
    the_cluster_is_well(project)
    assert kvm_host.virsh(project, "list --name").split() == ["proxmox03"]
    vms = succeeded(project.ssh(outer_host.OUTER, "qm list")).output
    assert ("proxmox01" in vms, "proxmox02" in vms, "proxmox03" in vms) == (True, True, False)
    assert "0 changes" in succeeded(project.admin("up")).output
    succeeded(project.ssh(NODES["proxmox01"], "ha-manager migrate vm:200 proxmox03"))
    assert project.eventually(lambda: services(project, NODES["proxmox01"])["vm:200"]["node"] == "proxmox03")
    succeeded(project.admin("down", "--yes"))
    after = outer_host.look(project), kvm_host.look(project)
    assert [outer_host.difference(*pair) for pair in zip(before, after, strict=True)] == [[], []]
