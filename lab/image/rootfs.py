"""What is written into a machine's root file system: by the lab for its own machines, by the installer for nested ones."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.image import workshop
from lab.programs import run
from lab.settings import NODE_FILES
from lab.shape import DEBIAN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.settings import Settings
    from lab.shape import Kind

NODE_MOUNT = Path("/usr/share/pve-lab")
LIBRARY_MOUNT = Path("/usr/share/pve-lab-lib")
LAB_MOUNT = Path("/run/pve-lab")
KERNEL_UNIT = "pve-lab-kernel.service"
# Programs that show the real kernel; the image has the originals diverted to NAME.distrib.
DIVERTED = {"modprobe": "usr/sbin", "rmmod": "usr/sbin", "lsmod": "usr/sbin", "uname": "usr/bin"}
LIBVIRT_HOOK = "etc/libvirt/hooks/qemu.d/pve-lab"
MASKED_UNITS = (
    "console-getty.service",
    "getty@.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "systemd-resolved.service",
    "systemd-udevd.service",  # the cards and disks are made by the lab; there is nothing to discover
    "systemd-udevd-kernel.socket",
    "systemd-udevd-control.socket",
)


@dataclass(frozen=True)
class System:
    """Everything an installation decides."""

    hostname: str
    domain: str
    address: str  # without prefix
    root_password_hash: str
    ssh_keys: tuple[str, ...]
    name_server: str
    interfaces: str  # /etc/network/interfaces
    timezone: str = "UTC"


def read_only_binds() -> dict[str, Path]:
    """The stand-ins' code, shown to every machine as it is in the work tree."""
    library = importlib.util.find_spec("fakepve")
    binds = {str(NODE_MOUNT): NODE_FILES}
    if library is not None and library.origin is not None:
        binds[str(LIBRARY_MOUNT / "fakepve")] = Path(library.origin).parent
    return binds


def hash_password(settings: Settings, password: str) -> str:
    """A crypt(3) hash, made by the image's own openssl; the password stays out of argv."""
    return run(workshop.command(settings, "openssl", "passwd", "-6", "-stdin"), stdin=password + "\n").strip()


def interfaces(  # noqa: PLR0913 - one argument for each thing in the file
    management: str,
    address: str,
    prefix: int,
    gateway: str,
    others: dict[str, str],
    *,
    bridge: str = "vmbr0",
    bridges: Mapping[str, str] | None = None,
) -> str:
    """The network configuration that the Proxmox installer writes: one bridge, the other cards unused.

    Some of the other cards have an address, or are ports of a bridge that has it.
    """
    stanzas = ["auto lo\niface lo inet loopback\n", f"iface {management} inet manual\n"]
    stanzas.append(
        f"auto {bridge}\niface {bridge} inet static\n\taddress {address}/{prefix}\n\tgateway {gateway}\n"
        f"\tbridge-ports {management}\n\tbridge-stp off\n\tbridge-fd 0\n"
    )
    for name, cidr in others.items():
        port = (bridges or {}).get(name)
        if port or not cidr:
            stanzas.append(f"iface {name} inet manual\n")
        if cidr:
            ports = f"\tbridge-ports {name}\n\tbridge-stp off\n\tbridge-fd 0\n" if port else ""
            stanzas.append(f"auto {port or name}\niface {port or name} inet static\n\taddress {cidr}\n{ports}")
    return "\n".join([*stanzas, "source /etc/network/interfaces.d/*\n"])


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file and its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


# What the Proxmox installer configures: ISO images and templates in a directory, disks on the thin pool.
INSTALLED_STORAGES = """\
dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup,import,snippets

lvmthin: local-lvm
\tthinpool data
\tvgname pve
\tcontent rootdir,images
"""
CLUSTER_DATABASE = "/var/lib/pve-cluster/local-db"


def _write_cluster_database(root: Path) -> None:
    write(root / CLUSTER_DATABASE.lstrip("/") / "storage.cfg", INSTALLED_STORAGES)
    record = json.dumps({"pve-lab-database": CLUSTER_DATABASE}) + "\n"
    write(root / "var/lib/pve-cluster/config.db", record, 0o600)


def apply_system(root: Path, system: System) -> None:
    """Turn a fresh copy of the image into an installed system."""
    fqdn = f"{system.hostname}.{system.domain}"
    write(root / "etc/hostname", system.hostname + "\n")
    write(
        root / "etc/hosts",
        "127.0.0.1 localhost.localdomain localhost\n"
        f"{system.address} {fqdn} {system.hostname}\n\n"
        "# The following lines are desirable for IPv6 capable hosts\n"
        "::1     ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\n"
        "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\nff02::3 ip6-allhosts\n",
    )
    write(root / "etc/resolv.conf", f"search {system.domain}\nnameserver {system.name_server}\n")
    write(root / "etc/network/interfaces", system.interfaces)
    (root / "etc/network/interfaces.d").mkdir(exist_ok=True)
    # ifupdown2 writes here, and Debian 13's iproute2 no longer makes it.
    (root / "etc/iproute2/rt_tables.d").mkdir(parents=True, exist_ok=True)
    write(root / "etc/timezone", system.timezone + "\n")
    (root / "etc/localtime").unlink(missing_ok=True)
    (root / "etc/localtime").symlink_to(f"/usr/share/zoneinfo/{system.timezone}")
    write(root / "etc/machine-id", "")
    _set_root_password(root, system.root_password_hash)
    _write_cluster_database(root)
    if system.ssh_keys:
        write(root / "root/.ssh/authorized_keys", "\n".join(system.ssh_keys) + "\n", 0o600)
        (root / "root/.ssh").chmod(0o700)
    write(root / "etc/ssh/sshd_config.d/10-proxmox.conf", "PermitRootLogin yes\nUseDNS no\n")
    _greet_nobody(root)


def _greet_nobody(root: Path) -> None:
    """Without the message of the day, which takes five processes at each login and which no program reads."""
    for service in ("sshd", "login"):
        rules = root / "etc/pam.d" / service
        lines = rules.read_text().splitlines(keepends=True)
        write(rules, "".join(line for line in lines if "pam_motd.so" not in line))


def forget_proxmox(root: Path) -> None:
    """Leave nothing of Proxmox VE on a machine whose layers have nothing of it."""
    shutil.rmtree(root / "var/lib/pve-cluster")


def forget_proxmox_sources(root: Path) -> None:
    """Leave apt only Debian's own repositories."""
    for file in (root / "etc/apt/sources.list.d").iterdir():
        if file.name != "debian.sources":
            file.unlink()


def _set_root_password(root: Path, password_hash: str) -> None:
    shadow = root / "etc/shadow"
    lines = shadow.read_text().splitlines()
    others = [line for line in lines if not line.startswith("root:")]
    write(shadow, "\n".join([f"root:{password_hash}:20000:0:99999:7:::", *others]) + "\n", 0o640)


def refresh_stand_ins(root: Path, kind: Kind) -> None:
    """Link the stand-ins' programs and units into a machine before it starts, as they are in the work tree now."""
    system = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        _link(system / unit, Path("/dev/null"))
    for program, place in DIVERTED.items():
        _link(root / place / program, NODE_MOUNT / "install" / program)
    _link(system / KERNEL_UNIT, NODE_MOUNT / "install" / KERNEL_UNIT)
    _link(system / "sysinit.target.wants" / KERNEL_UNIT, NODE_MOUNT / "install" / KERNEL_UNIT)
    if kind == "kvm":
        _link(root / LIBVIRT_HOOK, NODE_MOUNT / "install/libvirt-hook")
    if kind in DEBIAN:
        _link(system / "corosync.service", Path("/dev/null"))
        return
    for file in sorted((NODE_FILES / "bin").glob("*")):
        _link(root / "usr/sbin" / file.name, NODE_MOUNT / "bin" / file.name)
    units = NODE_FILES / "units"
    sockets = sorted(units.glob("*.socket"))
    by_socket = {file.with_suffix(".service").name for file in sockets}  # started by the first who asks
    for file in [*sorted(units.glob("*.service")), *sockets]:
        _link(system / file.name, NODE_MOUNT / "units" / file.name)
        if file.name not in by_socket:
            target = "sockets.target" if file in sockets else "multi-user.target"
            _link(system / f"{target}.wants" / file.name, NODE_MOUNT / "units" / file.name)
    for drop_in in sorted(units.glob("*.d/*.conf")):
        name = drop_in.relative_to(units)
        _link(system / name, NODE_MOUNT / "units" / name)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
