"""What the XML of a started libvirt domain makes of a machine of the lab."""

from __future__ import annotations

import pytest

from lab.errors import LabError
from lab.machine import domain

UUID = "9b79f3fc-b308-45eb-a877-3225ffb0f90d"
# As libvirt 11.3 gives it to its hook, less what the lab does not read.
STARTED = f"""\
<domain type='kvm' id='2'>
  <name>proxmox01</name>
  <uuid>{UUID}</uuid>
  <metadata><ha:stack xmlns:ha="urn:nested-pve-ha" name="dev" vmid="101"/></metadata>
  <memory unit='KiB'>2097152</memory>
  <vcpu placement='static'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type><boot dev='hd'/><boot dev='cdrom'/></os>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <devices>
    <disk type='file' device='disk'>
      <source file='/var/lib/libvirt/images/dev-101.raw' index='2'/>
      <target dev='sda' bus='scsi'/>
      <alias name='scsi0-0-0-0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='/var/lib/libvirt/images/dev-101.iso' index='1'/>
      <target dev='sdb' bus='sata'/>
      <alias name='sata0-0-1'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:9B:54:69'/>
      <source bridge='br0'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:1e:e8:21'/>
      <source network='dev-link0' portid='6d76e51a-2f58-41b7-8238-3b16c6232581' bridge='vmbr1'/>
      <address type='pci' domain='0x0000' bus='0x0a' slot='0x00' function='0x0'/>
    </interface>
  </devices>
</domain>
"""
HOST = "<cpu mode='host-passthrough' check='none' migratable='on'/>"


def edited(*edits: tuple[str, str]) -> domain.Domain:
    text = STARTED
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return domain.parse(text)


def test_it_has_the_cards_drives_and_size_of_the_domain() -> None:
    seen = domain.parse(STARTED)
    config = seen.config
    assert (seen.uuid, config.name, config.cores, config.memory_mib) == (UUID, "proxmox01", 4, 2048)
    assert [(card.name, card.mac, card.bridge) for card in config.cards] == [
        ("enp1s0", "52:54:00:9b:54:69", "br0"),
        ("enp10s0", "52:54:00:1e:e8:21", "vmbr1"),
    ]
    assert [(drive.key, drive.device, drive.cdrom) for drive in config.drives] == [
        ("scsi0-0-0-0", "sda", False),
        ("sata0-0-1", "", True),
    ]
    assert seen.files == {
        "scsi0-0-0-0": "/var/lib/libvirt/images/dev-101.raw",
        "sata0-0-1": "/var/lib/libvirt/images/dev-101.iso",
    }
    assert config.boot_order == ("scsi0-0-0-0", "sata0-0-1")


def test_a_virtio_disk_has_the_name_of_one() -> None:
    assert edited(("dev='sda' bus='scsi'", "dev='vda' bus='virtio'")).config.drives[0].device == "vda"


def test_a_card_on_the_first_bus_is_named_by_its_slot() -> None:
    assert edited(("bus='0x01' slot='0x00'", "bus='0x00' slot='0x03'")).config.cards[0].name == "ens3"


@pytest.mark.parametrize(
    ("edits", "order"),
    [
        ([("<boot dev='hd'/><boot dev='cdrom'/>", "<boot dev='cdrom'/>")], ("sata0-0-1",)),
        ([("<boot dev='hd'/><boot dev='cdrom'/>", "<boot dev='network'/>")], ()),
        (
            [
                ("<boot dev='hd'/><boot dev='cdrom'/>", ""),
                ("<alias name='scsi0-0-0-0'/>", "<alias name='scsi0-0-0-0'/><boot order='2'/>"),
                ("<alias name='sata0-0-1'/>", "<alias name='sata0-0-1'/><boot order='1'/>"),
            ],
            ("sata0-0-1", "scsi0-0-0-0"),
        ),
    ],
)
def test_the_boot_order(edits: list[tuple[str, str]], order: tuple[str, ...]) -> None:
    assert edited(*edits).config.boot_order == order


@pytest.mark.parametrize(
    ("cpu", "model", "shown"),
    [
        (HOST, "host", True),
        ("<cpu mode='host-passthrough'><feature policy='disable' name='vmx'/></cpu>", "host", False),
        ("<cpu mode='custom'><model>EPYC</model><feature policy='require' name='svm'/></cpu>", "EPYC", True),
        ("<cpu mode='custom'><model>EPYC</model><feature policy='disable' name='svm'/></cpu>", "EPYC", False),
        ("<cpu mode='custom'><model>EPYC</model></cpu>", "EPYC", False),
        ("", "qemu64", False),
    ],
)
def test_the_processor(cpu: str, model: str, *, shown: bool) -> None:
    config = edited((HOST, cpu)).config
    assert (config.cpu_model, config.nested_flag, config.kvm) == (model, shown, True)


def test_a_domain_has_its_number_for_good() -> None:
    assert domain.parse(STARTED).number == domain.number(UUID)
    other = edited((UUID, "b5a1a265-1daf-4f86-a2ce-f397fe2ad2de"))
    assert other.number != domain.number(UUID)
    # It is part of names of network cards, which are short.
    assert max(len(f"tap{number}i9") for number in (other.number, 0xFFFFFFF)) <= 15


def test_a_domain_without_a_name_is_refused() -> None:
    with pytest.raises(LabError, match="the domain has no <name>"):
        edited(("<name>proxmox01</name>", ""))
