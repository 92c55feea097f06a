"""What the machine's processor can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

CPUINFO = "/proc/cpuinfo"
MODULES = {"vmx": "kvm_intel", "svm": "kvm_amd"}


def virtualization(machine: ThisMachine) -> str | None:
    """Which hardware virtualization it shows: `vmx` (Intel), `svm` (AMD), or None."""
    return parse_virtualization(machine.read(CPUINFO) or "")


def is_on(value: str) -> bool:
    """Whether the kernel reads that text as true: it prints Y or 1 and reads any of these."""
    return value.strip().lower() in ("y", "1", "yes", "on", "true")


def nesting(machine: ThisMachine) -> str:
    """The virtualization that VMs are offered at this moment: `vmx`, `svm`, or nothing."""
    flag = virtualization(machine)
    live = "" if flag is None else machine.read(f"/sys/module/{MODULES[flag]}/parameters/nested")
    return flag if flag is not None and is_on(live or "") else ""


def parse_virtualization(cpuinfo: str) -> str | None:
    """The same, from /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return next((flag for flag in ("vmx", "svm") if flag in flags.split()), None)
    return None
