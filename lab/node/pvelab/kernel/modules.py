"""The lab's kernel stand-in on one machine: modules with their parameters, and what /proc and /dev show of them.

State is what a program sees: /sys/module (a tmpfs), /proc/modules (a file bound over it) and /dev/kvm.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import re
import shutil
import socket
import stat
from pathlib import Path

from pvelab.kernel import command_line

FACTS = Path("/run/pve-lab/kernel")  # from the lab: cpuinfo, hardware.json
STATE = Path("/run/pve-lab-kernel")
SYS_MODULE = Path("/sys/module")
MODULES = STATE / "modules"
DEV_KVM = Path("/dev/kvm")
KVM_NUMBER = os.makedev(10, 232)
CONFIGURATION = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d")
HYPERVISOR = Path("/run/pve-lab/hypervisor.sock")
GUEST_PIDS = Path("/run/qemu-server")
MISSING = "modprobe: FATAL: Module {name} not found in directory /lib/modules/{release}"

# Modules that a Proxmox kernel has and that programs here ask for; other names are unknown.
KNOWN = frozenset(
    "kvm kvm_intel kvm_amd softdog iTCO_wdt ipmi_watchdog bridge br_netfilter 8021q bonding tun vhost vhost_net fuse loop "  # noqa: SIM905
    "overlay nfs nfsd nfsv4 sunrpc ceph rbd zfs dm_mod dm_thin_pool iscsi_tcp ip_tables ip6_tables nf_tables xt_multiport "
    "nbd vfio vfio_pci cifs dummy veth".split()
)
DEPENDS = {"kvm_intel": "kvm", "kvm_amd": "kvm", "vhost_net": "vhost"}


class ModuleError(Exception):
    """modprobe's refusal, in its words."""


def facts() -> dict[str, object]:
    """What the lab says about this machine's processor."""
    known: dict[str, object] = json.loads((FACTS / "hardware.json").read_text())
    return known


def canonical(name: str) -> str:
    """Module names may be written with dashes."""
    return name.replace("-", "_")


def release() -> str:
    """The running kernel's name."""
    return Path("/proc/sys/kernel/osrelease").read_text().strip()


def newest_installed() -> str | None:
    """The kernel that a boot loader would choose: the newest Proxmox one in /boot."""
    names = [path.name.removeprefix("vmlinuz-") for path in Path("/boot").glob("vmlinuz-*-pve")]
    return max(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)], default=None)


def configured_options(name: str) -> dict[str, str]:
    """The `options` lines of /etc/modprobe.d for a module, and the kernel's command line."""
    options: dict[str, str] = {}
    for words in _configuration():
        if words[0] == "options" and canonical(words[1]) == name:
            options |= dict(word.split("=", 1) for word in words[2:] if "=" in word)
    return options | command_line.options(name)


def blacklisted(name: str) -> bool:
    """Whether the module is not to be loaded by itself at boot."""
    listed = any(words[0] == "blacklist" and canonical(words[1]) == name for words in _configuration())
    return listed or command_line.kept_out(name)


def built_in(name: str) -> bool:
    """Whether the module is part of the kernel: it has parameters, and is neither listed nor loaded nor unloaded."""
    file = Path(f"/lib/modules/{release()}/modules.builtin")
    paths = file.read_text().split() if file.exists() else []
    return name in {canonical(Path(path).stem) for path in paths}


def start_built_in(name: str) -> None:
    """What a module that is part of the kernel shows; it reads the command line only."""
    directory = SYS_MODULE / name / "parameters"
    directory.mkdir(parents=True)
    _write_nested(directory, name, command_line.options(name))
    _make_kvm()


def _configuration() -> list[list[str]]:
    files: dict[str, Path] = {}
    for directory in reversed(CONFIGURATION):
        files |= {path.name: path for path in Path(directory).glob("*.conf")}
    lines = [line.split("#")[0].split() for name in sorted(files) for line in files[name].read_text().splitlines()]
    return [words for words in lines if len(words) > 1]


def loaded() -> list[str]:
    """The modules that are loaded, newest first."""
    return [line.split()[0] for line in MODULES.read_text().splitlines()]


def listing() -> str:
    """What lsmod prints."""
    lines = ["Module                  Size  Used by"]
    for line in MODULES.read_text().splitlines():
        name, size, _, holders, *_ = line.split()
        others = holders.strip("-,")
        count = users(name) + len(others.split(",")) * bool(others)
        lines.append(f"{name:<19} {size:>8}  {count} {others}".rstrip())
    return "\n".join(lines)


def users(name: str) -> int:
    """How many running guests use the KVM module."""
    if not name.startswith("kvm_"):
        return 0
    return _own_guests() + _virtual_machines()


def _own_guests() -> int:
    count = 0
    for file in GUEST_PIDS.glob("*.pid"):
        pid = file.read_text().strip()
        count += pid.isdigit() and Path(f"/proc/{pid}").exists()
    return count


def _virtual_machines() -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(HYPERVISOR))
        except OSError:
            return 0
        connection.sendall(b'{"op": "vm.list"}\n')
        answer = json.loads(connection.makefile().readline())
    return sum(1 for vm in answer.get("vms", {}).values() if vm["kvm"])


def load(name: str, options: dict[str, str]) -> None:
    """Load a module and what it depends on.

    Raises:
        ModuleError: unknown, refused by the command line, or the processor cannot do it.
    """
    if name in loaded() or built_in(name):
        return
    if name not in KNOWN:
        raise ModuleError(MISSING.format(name=name, release=release()))
    if name in DEPENDS:
        load(DEPENDS[name], configured_options(DEPENDS[name]))
    if name in ("kvm_intel", "kvm_amd"):
        known = facts()
        if name != known["module"] or not known["virtualization"]:
            raise ModuleError(f"modprobe: ERROR: could not insert '{name}': Operation not supported")
    if command_line.refused(name):
        raise ModuleError(f"modprobe: ERROR: could not insert '{name}': Operation not permitted")
    directory = SYS_MODULE / name
    (directory / "parameters").mkdir(parents=True, exist_ok=True)
    (directory / "holders").mkdir(exist_ok=True)
    (directory / "initstate").write_text("live\n")
    (directory / "refcnt").write_text("0\n")
    (directory / "coresize").write_text("491520\n")
    if name.startswith("kvm_"):
        _write_nested(directory / "parameters", name, options)
        (SYS_MODULE / "kvm" / "holders" / name).mkdir(exist_ok=True)
        _make_kvm()
    _write_modules([name, *loaded()])


def _make_kvm() -> None:
    os.mknod(DEV_KVM, stat.S_IFCHR | 0o660, KVM_NUMBER)
    DEV_KVM.chmod(0o660)
    with contextlib.suppress(KeyError):
        os.chown(DEV_KVM, 0, grp.getgrnam("kvm").gr_gid)  # as udev does


def _write_nested(directory: Path, name: str, options: dict[str, str]) -> None:
    on = bool(facts()["nested_by_default"])
    if "nested" in options:
        on = options["nested"].lower() in ("1", "y", "yes", "on")
    values = ("Y", "N") if name == "kvm_intel" else ("1", "0")
    (directory / "nested").write_text(values[0] + "\n" if on else values[1] + "\n")


def unload(name: str) -> None:
    """Unload a module, and what only it needed.

    Raises:
        ModuleError: it is used, or part of the kernel.
    """
    if built_in(name):
        raise ModuleError(f"modprobe: FATAL: Module {name} is builtin.")
    present = loaded()
    if name not in present:
        return
    holders = [other for other, needs in DEPENDS.items() if needs == name and other in present]
    if holders or users(name):
        raise ModuleError(f"modprobe: FATAL: Module {name} is in use.")
    if name.startswith("kvm_"):
        DEV_KVM.unlink(missing_ok=True)
        (SYS_MODULE / "kvm" / "holders" / name).rmdir()
    shutil.rmtree(SYS_MODULE / name)
    _write_modules([other for other in present if other != name])
    needs = DEPENDS.get(name)
    if needs and not any(DEPENDS.get(other) == needs for other in loaded()):
        unload(needs)


def _write_modules(names: list[str]) -> None:
    lines = []
    for name in names:
        holders = [other for other in names if DEPENDS.get(other) == name]
        lines.append(
            f"{name} 491520 {len(holders)} {''.join(f'{one},' for one in holders) or '-'} Live 0x0000000000000000\n"
        )
    MODULES.write_text("".join(lines))  # in place: the file is bound over /proc/modules
