"""A libvirt domain's XML: what it makes of a started VM, in the terms of a `qm` configuration."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lab.errors import LabError
from lab.machine.vm_config import VmCard, VmConfig, VmDrive

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMBER_DIGITS = 7  # hexadecimal: the number is part of the names of network cards
FAMILIES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "sd"}
VIRTUALIZATION = ("vmx", "svm")
KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Domain:
    """A domain; `number` is its own for good, and stands where Proxmox has the number of a VM."""

    uuid: str
    number: int
    config: VmConfig
    files: dict[str, str]  # the files of its disks and CDs, by what the drives call their volumes


def number(identity: str) -> int:
    """A domain's number, made from its UUID."""
    return int(uuid.UUID(identity).hex[:NUMBER_DIGITS], 16)


def parse(text: str) -> Domain:
    """Read the XML of a domain that libvirt has started: all addresses and names are filled in.

    Raises:
        LabError: it cannot become a machine of the lab.
    """
    root = ET.fromstring(text)  # noqa: S314 - libvirt wrote it
    identity = _text(root, "uuid")
    files: dict[str, str] = {}
    drives = _drives(root, files)
    cards = tuple(_card(index, card) for index, card in enumerate(root.findall("devices/interface")))
    cpu = root.find("cpu")
    mode = "custom" if cpu is None else cpu.get("mode", "custom")
    config = VmConfig(
        name=_text(root, "name"),
        cards=cards,
        drives=drives,
        boot_order=_boot_order(root, drives),
        cpu_model="host" if mode == "host-passthrough" else _text(root, "cpu/model", "qemu64"),
        nested_flag=_shows_virtualization(cpu),
        kvm=root.get("type") == "kvm",
        cores=int(_text(root, "vcpu", "1")),
        memory_mib=int(_text(root, "memory")) // KIB_PER_MIB,
    )
    return Domain(identity, number(identity), config, files)


def _text(root: ET.Element, path: str, default: str | None = None) -> str:
    found = root.findtext(path, default)
    if found is None:
        raise LabError("vm-start-failed", f"the domain has no <{path}>")
    return found


def _shows_virtualization(cpu: ET.Element | None) -> bool:
    """Whether the guest gets the host's virtualization: the host's processor does, a model only where it is asked for."""
    if cpu is None:
        return False
    wanted = {feature.get("name"): feature.get("policy", "require") for feature in cpu.findall("feature")}
    said = [policy for name, policy in wanted.items() if name in VIRTUALIZATION]
    if said:
        return said[0] in ("require", "force")
    return cpu.get("mode") == "host-passthrough"


def _card(index: int, card: ET.Element) -> VmCard:
    source = card.find("source")
    mac = card.find("mac")
    if mac is None:
        raise LabError("vm-start-failed", f"the domain's card {index} has no address")
    return VmCard(
        key=f"net{index}",
        name=_card_name(index, card.find("address")),
        mac=mac.get("address", "").lower(),
        bridge=None if source is None else source.get("bridge"),
    )


def _card_name(index: int, address: ET.Element | None) -> str:
    """As systemd names it: by the slot on the first bus, by the place behind a port."""
    if address is None or address.get("type") != "pci":
        return f"eth{index}"
    bus, slot = (int(address.get(key, "0"), 16) for key in ("bus", "slot"))
    return f"enp{bus}s{slot}" if bus else f"ens{slot}"


def _drives(root: ET.Element, files: dict[str, str]) -> tuple[VmDrive, ...]:
    """Disks and CD drives; the key of a drive is libvirt's alias, which QEMU knows it by, too."""
    drives = []
    used = {"sd": 0, "vd": 0}
    for index, disk in enumerate(root.findall("devices/disk")):
        kind = disk.get("device", "disk")
        if kind not in ("disk", "cdrom"):
            continue
        target, alias = disk.find("target"), disk.find("alias")
        family = FAMILIES.get("" if target is None else target.get("bus", ""), "sd")
        key = f"disk{index}" if alias is None else alias.get("name", "")
        source = disk.find("source")
        file = None if source is None else source.get("file") or source.get("dev")
        if file is not None:
            files[key] = file
        device = ""
        if kind == "disk":
            device = f"{family}{chr(ord('a') + used[family])}"
            used[family] += 1
        drives.append(VmDrive(key, key if file else "none", kind == "cdrom", device))
    return tuple(drives)


def _boot_order(root: ET.Element, drives: Sequence[VmDrive]) -> tuple[str, ...]:
    """By the devices' own order if they have one, else by kinds."""
    found = [(disk.find("boot"), disk.find("alias")) for disk in root.findall("devices/disk")]
    own = [
        (int(boot.get("order", "0")), alias.get("name", ""))
        for boot, alias in found
        if boot is not None and alias is not None
    ]
    if own:
        return tuple(key for _, key in sorted(own))
    kinds = [boot.get("dev") for boot in root.findall("os/boot")]
    return tuple(drive.key for kind in kinds for drive in drives if kind == ("cdrom" if drive.cdrom else "hd"))
