"""The part of a `qm` configuration that decides what a started VM is: cards, drives, boot order, processor."""

from __future__ import annotations

import re
from dataclasses import dataclass

DISK_BUSES = ("ide", "sata", "scsi", "virtio")
KEY = re.compile(r"(net|ide|sata|scsi|virtio)(\d+)")
FIRST_SLOT = 18  # where Proxmox places the first network card, hence ens18
TRUE = ("1", "on", "yes", "true")


@dataclass(frozen=True)
class VmCard:
    """A network card as configured."""

    key: str  # "net0"
    name: str  # as the guest's kernel names it
    mac: str
    bridge: str | None


@dataclass(frozen=True)
class VmDrive:
    """A disk or CD drive as configured. `device` is the guest's name for a disk, "sda" or "vda"."""

    key: str
    volume: str  # "none" for an empty CD drive
    cdrom: bool
    device: str


@dataclass(frozen=True)
class VmConfig:
    """What the lab needs to know of a configuration."""

    name: str
    cards: tuple[VmCard, ...]
    drives: tuple[VmDrive, ...]
    boot_order: tuple[str, ...]
    cpu_model: str
    nested_flag: bool  # the processor type shows virtualization to the guest, if the host can
    kvm: bool
    cores: int
    memory_mib: int


def properties(text: str) -> dict[str, str]:
    """A property string such as "virtio=BC:24:11:00:00:01,bridge=vmbr0"; a bare first value gets the key ""."""
    pairs = (part.partition("=") for part in text.split(","))
    return {key if equals else "": value if equals else key for key, equals, value in pairs}


def parse(vmid: int, config: dict[str, str]) -> VmConfig:
    """Read a configuration; values are text, as in the configuration file."""
    drives = _drives(config)
    cpu = properties(config.get("cpu", "kvm64"))
    model = cpu.get("cputype") or cpu.get("") or "kvm64"
    flags = cpu.get("flags", "") + config.get("args", "")
    memory = properties(config.get("memory", ""))
    nested = model == "host" or any(flag in flags for flag in ("+nested-virt", "+vmx", "+svm"))
    return VmConfig(
        name=config.get("name", f"vm{vmid}"),
        cards=_cards(config),
        drives=drives,
        boot_order=_boot_order(config.get("boot", ""), drives),
        cpu_model=model,
        nested_flag=nested,
        kvm=config.get("kvm", "1") in TRUE,
        cores=int(config.get("cores", "1")) * int(config.get("sockets", "1")),
        memory_mib=int(memory.get("current") or memory.get("") or "512"),
    )


def _numbered(config: dict[str, str], *buses: str) -> list[tuple[str, int, dict[str, str]]]:
    found = []
    for key, value in config.items():
        match = KEY.fullmatch(key)
        if match and match[1] in buses:
            found.append((match[1], int(match[2]), properties(value)))
    return sorted(found, key=lambda item: (buses.index(item[0]), item[1]))


def _cards(config: dict[str, str]) -> tuple[VmCard, ...]:
    cards = []
    for _, number, values in _numbered(config, "net"):
        model = next(iter(values))
        cards.append(
            VmCard(
                key=f"net{number}",
                name=f"ens{FIRST_SLOT + number}",
                mac=(values.get("macaddr") or values[model]).lower(),
                bridge=values.get("bridge"),
            )
        )
    return tuple(cards)


def _drives(config: dict[str, str]) -> tuple[VmDrive, ...]:
    drives = []
    used = {"sd": 0, "vd": 0}
    for bus, number, values in _numbered(config, "scsi", "sata", "ide", "virtio"):
        volume = values.get("file") or values.get("", "none")
        cdrom = values.get("media") == "cdrom"
        family = "vd" if bus == "virtio" else "sd"
        device = ""
        if not cdrom:
            device = f"{family}{chr(ord('a') + used[family])}"
            used[family] += 1
        drives.append(VmDrive(f"{bus}{number}", volume, cdrom, device))
    return tuple(drives)


def _boot_order(boot: str, drives: tuple[VmDrive, ...]) -> tuple[str, ...]:
    order = properties(boot).get("order") if boot else None
    if order is not None:
        return tuple(part for part in order.split(";") if part)
    # Without an order: first disk, then CD drive, as qemu-server's default.
    disks = [drive.key for drive in drives if not drive.cdrom][:1]
    return (*disks, *(drive.key for drive in drives if drive.cdrom))
