"""Stack libvirt: from a Debian machine with libvirt to guests under HA, and back to the machine as found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.lab.job.test_cluster import LINKS, NODES, boot_ids, services
from tests.support import kvm_host
from tests.support.bad_world import succeeded
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """A machine with libvirt, on which nothing is deployed."""
    directory = tmp_path_factory.mktemp("libvirt")
    found = LabProject(directory / "project", directory / "lab", "libvirt")
    try:
        succeeded(found.lab("up", "--shape", "libvirt"))
        yield found
    finally:
        found.lab("down")


def test_a_machine_with_libvirt_carries_a_cluster_and_is_left_as_found(project: LabProject) -> None:
    before = kvm_host.look(project)
    succeeded(project.admin("up"))
    the_cluster_is_well(project)
    what_it_made_on_the_host_is_marked(project)
    a_second_run_changes_nothing(project)
    guests_outlive_their_node(project)
    what_drifted_is_put_back(project)
    succeeded(project.admin("down", "--yes"))
    assert kvm_host.difference(before, kvm_host.look(project)) == []


def the_cluster_is_well(project: LabProject) -> None:
    for address in NODES.values():
        status = project.ssh(address, "pvecm status; corosync-cfgtool -n").output
        assert re.search(r"^Quorate:\s+Yes", status, re.MULTILINE)
        assert re.search(r"^Total votes:\s+3", status, re.MULTILINE)
        for network in LINKS:
            assert (
                len(re.findall(rf"udp \({network}\.\d+->{network}\.\d+\) enabled connected", status)) == len(NODES) - 1
            )
    found = services(project, NODES["proxmox02"])
    assert {sid: one["state"] for sid, one in found.items()} == {"vm:200": "started", "ct:300": "started"}


def what_it_made_on_the_host_is_marked(project: LabProject) -> None:
    for name in NODES:
        xml = kvm_host.virsh(project, f"dumpxml {name}")
        assert 'name="libvirt"' in xml.replace("'", '"')
        assert 'mode="host-passthrough"' in xml.replace("'", '"')
    assert sorted(kvm_host.virsh(project, "list --name --autostart").split()) == list(NODES)
    assert {"vmbr1", "vmbr2", "vmbr3"} <= set(kvm_host.virsh(project, "net-list --name").split())
    # No answer for an installer, which has secrets in it, is left; the installer itself shows that one looks at the right place.
    images = project.ssh(kvm_host.ADDRESS, "ls /var/lib/libvirt/nested-pve-ha/libvirt").output.split()
    assert [one for one in images if one.endswith(".iso")] == ["stack-libvirt-kvmhost-proxmox-ve_9.1-1.iso"]


def a_second_run_changes_nothing(project: LabProject) -> None:
    before = boot_ids(project), kvm_host.look(project)
    assert "0 changes" in succeeded(project.admin("up")).output
    succeeded(
        project.pulumi("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
    )
    assert (boot_ids(project), kvm_host.look(project)) == before


def guests_outlive_their_node(project: LabProject) -> None:
    kvm_host.virsh(project, "destroy proxmox01")

    def recovered() -> bool:
        found = services(project, NODES["proxmox02"])["vm:200"]
        return bool(found["state"] == "started" and found["node"] != "proxmox01")

    assert project.eventually(recovered, 120)
    run = succeeded(project.admin("up"))
    assert "VM 101 on kvmhost is powered off" in run.output
    assert "running" in kvm_host.virsh(project, "domstate proxmox01")
    assert project.eventually(lambda: project.admin("status").code == 0, 120)


def what_drifted_is_put_back(project: LabProject) -> None:
    kvm_host.virsh(project, "autostart --disable proxmox02")
    kvm_host.virsh(project, "net-autostart --disable vmbr1")
    succeeded(project.admin("up"))
    assert sorted(kvm_host.virsh(project, "list --name --autostart").split()) == list(NODES)
    assert "vmbr1" in kvm_host.virsh(project, "net-list --autostart --name")
