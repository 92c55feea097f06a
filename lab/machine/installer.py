"""The automated installer: a CD drive's ISO and a VM's disks in, an installed system or a stuck console out."""

from __future__ import annotations

import fnmatch
import io
import ipaddress
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pycdlib
from pvelab.install import answer_file
from pycdlib.pycdlibexception import PyCdlibException

from lab import credentials
from lab.errors import LabError
from lab.image import rootfs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lab.machine.vm_config import VmCard
    from lab.settings import Settings

PENDING_FLAG = "pending-first-boot-setup"
# Since these keys the installer on the ISO is too old (auto-installer 9.1).
NEWER_KEYS = ("subscription-key",)
UNITS = {
    "before-network": ("proxmox-first-boot-network-pre.service", "network-pre.target"),
    "network-online": ("proxmox-first-boot-network-online.service", "network-online.target"),
    "fully-up": ("proxmox-first-boot-multi-user.service", "multi-user.target"),
}


@dataclass(frozen=True)
class Medium:
    """What an ISO in a CD drive says about itself."""

    bootable: bool
    mode: str | None = None  # where the automated installer gets its answer; None: it asks a person
    answer: str | None = None
    first_boot: bytes | None = None


def read_medium(path: Path) -> Medium:
    """Look into an ISO; anything that is none cannot be booted."""
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(path))
    except (PyCdlibException, OSError):
        return Medium(bootable=False)
    try:
        if _read(iso, "/auto-installer-capable") is None:
            return Medium(bootable=False)
        mode = _read(iso, "/auto-installer-mode.toml")
        answer = _read(iso, "/answer.toml")
        return Medium(
            bootable=True,
            mode=None if mode is None else tomllib.loads(mode.decode()).get("mode"),
            answer=None if answer is None else answer.decode(errors="replace"),
            first_boot=_read(iso, "/proxmox-first-boot"),
        )
    finally:
        iso.close()


def _read(iso: pycdlib.PyCdlib, path: str) -> bytes | None:
    content = io.BytesIO()
    try:
        iso.get_file_from_iso_fp(content, rr_path=path)
    except PyCdlibException:
        return None
    return content.getvalue()


@dataclass(frozen=True)
class Installation:
    """A checked answer for this VM: what goes on which disk."""

    system: rootfs.System
    device: str
    reboot: bool
    first_boot: bytes | None
    ordering: str
    mailto: str
    keyboard: str
    plain_password: str | None


def refused(message: str) -> LabError:
    """The installer stops with a message on the console."""
    return LabError("installation-failed", message)


def plan(settings: Settings, medium: Medium, cards: Sequence[VmCard], devices: Sequence[str]) -> Installation:
    """Match the answer with the machine.

    Raises:
        LabError: installation-failed, with what the installer shows.
    """
    if medium.mode != "iso":
        raise refused(f"fetching the answer file ({medium.mode}): no answer source is reachable in the lab")
    if medium.answer is None:
        raise refused("failed to read /cdrom/answer.toml: No such file or directory (os error 2)")
    try:
        answer = answer_file.parse(medium.answer, settings.image / "usr/share/zoneinfo")
    except answer_file.AnswerError as error:
        raise refused(str(error)) from error
    identity, network, disks = (answer.table(name) for name in ("global", "network", "disk-setup"))
    for key in NEWER_KEYS:
        if key in identity:
            raise refused(f"Error parsing answer file: unknown field `{key}`")
    if network.get("source", "from-dhcp") != "from-answer" or isinstance(identity["fqdn"], dict):
        raise refused("no DHCP lease received")
    first_boot = answer.table("first-boot")
    if first_boot and (first_boot["source"] != "from-iso" or medium.first_boot is None):
        raise refused("Failed loading first-boot executable from ISO (was ISO prepared with `--on-first-boot`?)")
    card = _match_card(network["filter"], cards)
    device = _match_disk(disks, devices)
    hostname, _, domain = identity["fqdn"].partition(".")
    address = ipaddress.ip_interface(network["cidr"])
    others = {other.name: "" for other in cards if other is not card}
    system = rootfs.System(
        hostname=hostname,
        domain=domain,
        address=str(address.ip),
        root_password_hash=identity.get("root-password-hashed", ""),
        ssh_keys=tuple(identity.get("root-ssh-keys", [])),
        name_server=network["dns"],
        interfaces=rootfs.interfaces(card.name, str(address.ip), address.network.prefixlen, network["gateway"], others),
        timezone=identity["timezone"],
    )
    return Installation(
        system=system,
        device=device,
        reboot=identity.get("reboot-mode", "reboot") == "reboot",
        first_boot=medium.first_boot if first_boot else None,
        ordering=first_boot.get("ordering", "fully-up"),
        mailto=identity["mailto"],
        keyboard=identity["keyboard"],
        plain_password=identity.get("root-password"),
    )


def _match_card(filters: Mapping[str, str], cards: Sequence[VmCard]) -> VmCard:
    for card in cards:
        facts = {
            "INTERFACE": card.name,
            "ID_NET_NAME": card.name,
            "ID_NET_NAME_SLOT": card.name,
            "ID_NET_NAME_MAC": "enx" + card.mac.replace(":", ""),
            "ID_NET_DRIVER": "virtio_net",
            "ID_VENDOR_ID": "0x1af4",
            "ID_MODEL_ID": "0x1000",
            "SUBSYSTEM": "net",
        }
        if any(key in facts and fnmatch.fnmatchcase(facts[key], pattern) for key, pattern in filters.items()):
            return card
    raise refused("filter did not match any device")


def _match_disk(disks: Mapping[str, object], devices: Sequence[str]) -> str:
    wanted = disks.get("disk-list")
    if isinstance(wanted, list) and wanted:
        missing = [name for name in wanted if name.removeprefix("/dev/") not in devices]
        if missing:
            raise refused("disk in 'disk-selection' not found")
        return str(wanted[0]).removeprefix("/dev/")
    filters = disks.get("filter")
    patterns = filters if isinstance(filters, dict) else {}
    for device in devices:
        facts = {"DEVNAME": f"/dev/{device}", "DEVTYPE": "disk", "ID_MODEL": "QEMU_HARDDISK", "ID_VENDOR": "QEMU"}
        if any(key in facts and fnmatch.fnmatchcase(facts[key], pattern) for key, pattern in patterns.items()):
            return device
    raise refused("filter did not match any device")


def install(settings: Settings, plan: Installation, root: Path) -> None:
    """Put the system on an empty, mounted disk."""
    system = plan.system
    if plan.plain_password is not None:
        system = replace(system, root_password_hash=rootfs.hash_password(settings, plan.plain_password))
    rootfs.apply_system(root, system)
    makers = {"ed25519": credentials.new_ed25519, "ecdsa": credentials.new_ecdsa, "rsa": credentials.new_rsa}
    for kind, make in makers.items():
        credentials.write_host_key(root, kind, make(f"root@{system.hostname}"))
    rootfs.write(root / "etc/default/keyboard", f'XKBLAYOUT="{plan.keyboard}"\n')
    rootfs.write(root / "root/.forward", plan.mailto + "\n")
    if plan.first_boot is not None:
        _install_first_boot(root, plan.first_boot, plan.ordering)


def _install_first_boot(root: Path, script: bytes, ordering: str) -> None:
    directory = root / "var/lib/proxmox-first-boot"
    directory.mkdir(parents=True)
    program = directory / "proxmox-first-boot"
    program.write_bytes(script)
    program.chmod(0o700)
    (directory / PENDING_FLAG).touch()
    unit, target = UNITS[ordering]
    # As Proxmox' own units: the flag goes only when the script succeeded, so a failed one runs again at the next boot.
    order = "After"
    if ordering == "before-network":
        order = "DefaultDependencies=no\nBefore"
    rootfs.write(
        root / "etc/systemd/system" / unit,
        "[Unit]\nDescription=Proxmox First Boot Setup\n"
        f"ConditionPathExists=/var/lib/proxmox-first-boot/{PENDING_FLAG}\n{order}={target}\nWants={target}\n\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"ExecStart=/var/lib/proxmox-first-boot/proxmox-first-boot {ordering}\n"
        f"ExecStartPost=/usr/bin/rm /var/lib/proxmox-first-boot/{PENDING_FLAG}\n\n"
        "[Install]\nWantedBy=default.target\n",
    )
    wants = root / "etc/systemd/system/default.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit).symlink_to(f"/etc/systemd/system/{unit}")
