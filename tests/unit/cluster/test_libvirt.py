"""What the files of libvirt say of an outer host: whose its domains and networks are."""

from __future__ import annotations

import pytest

from cluster import libvirt, proxmox_ve
from cluster.marks import BRIDGE, DISK, VM, Thing

MARK = '<metadata><ha:stack xmlns:ha="urn:nested-pve-ha" name="{}" vmid="101"/></metadata>'
DOMAIN = "<domain type='kvm'><name>proxmox01</name>{}</domain>"
NETWORK = "<network><name>links</name>{}<bridge name='vmbr1' stp='off'/></network>"
DOMAINS, NETWORKS = "etc/libvirt/qemu", "etc/libvirt/qemu/networks"


def things(path: str, text: str) -> list[tuple[str, str, bool, str]]:
    """Kind, name, whether it is the stack's, and the domain's name."""
    found = libvirt.read({path: text}, "kvmhost", "dev")
    return [(thing.kind, thing.name, thing.ours, thing.domain) for thing in found]


@pytest.mark.parametrize(("stack", "ours"), [("dev", True), ("Dev", True), ("office", False), ("", False)])
def test_the_mark_says_whose_a_domain_and_a_network_are(stack: str, ours: bool) -> None:  # noqa: FBT001 - a column
    mark = MARK.format(stack)
    assert things(f"{DOMAINS}/proxmox01.xml", DOMAIN.format(mark)) == [(VM, "101", ours, "proxmox01")]
    assert things(f"{NETWORKS}/links.xml", NETWORK.format(mark)) == [(BRIDGE, "vmbr1", ours, "")]


def test_a_domain_without_the_mark_has_no_number_and_a_network_has_its_bridge() -> None:
    assert things(f"{DOMAINS}/windows.xml", DOMAIN.format("")) == []
    assert things(f"{NETWORKS}/default.xml", NETWORK.format("")) == [(BRIDGE, "vmbr1", False, "")]


def test_one_that_runs_without_a_definition_is_there_and_a_clone_with_its_mark_is_somebodys() -> None:
    whole = DOMAIN.format(MARK.format("dev"))
    live = f"<domstatus state='running'>{whole}</domstatus>"
    assert things("run/libvirt/qemu/proxmox01.xml", live) == [(VM, "101", True, "proxmox01")]
    disk = "<devices><disk device='disk'><source file='/srv/{}.raw'/></disk></devices></domain>"
    own = whole.replace("</domain>", disk.format("dev-101"))
    clone = whole.replace("proxmox01", "clone").replace("</domain>", disk.format("clone"))
    files = {f"{DOMAINS}/clone.xml": clone, f"{DOMAINS}/proxmox01.xml": own, "run/libvirt/qemu/proxmox01.xml": live}
    assert [thing.domain for thing in libvirt.read(files, "kvmhost", "dev")] == ["proxmox01"]


def test_disks_are_those_with_a_mark_beside_them() -> None:
    names = ["dev-101.raw", ".dev-101.raw.nested-pve-ha", "dev-102.raw", "dev-x.raw", ".dev-103.raw.nested-pve-ha"]
    found = list(libvirt.disks([*names, "prod-104.raw", ".prod-104.raw.nested-pve-ha"], "kvmhost", "dev"))
    assert [(thing.kind, thing.name, thing.node) for thing in found] == [(DISK, "101", "kvmhost")]


def test_other_files_and_damaged_ones_are_nothing() -> None:
    whole = DOMAIN.format(MARK.format("dev"))
    for path in ("etc/libvirt/qemu.conf", f"{DOMAINS}/autostart/proxmox01.xml", f"{DOMAINS}/proxmox01.xml.new"):
        assert things(path, whole) == []
    assert things(f"{DOMAINS}/proxmox01.xml", whole[:-9]) == []


@pytest.mark.parametrize(
    ("printed", "status"),
    [("shut off\n\n", "stopped"), ("running\n\n", "running"), ("in shutdown\n", "in shutdown"), ("", "")],
)
def test_a_domain_is_asked_and_stopped_by_its_name(printed: str, status: str) -> None:
    vm = Thing(VM, "101", "kvmhost", ours=True, shown="", domain="a b")
    assert proxmox_ve.status_of(vm, printed) == status
    assert "virsh" in proxmox_ve.vm_status(vm)
    assert proxmox_ve.vm_status(vm).endswith("domstate 'a b'")
    assert proxmox_ve.stop_vm(vm).endswith("destroy 'a b'")
