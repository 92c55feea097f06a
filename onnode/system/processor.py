"""What the machine's processor can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

CPUINFO = "/proc/cpuinfo"


def virtualization(machine: ThisMachine) -> str | None:
    """Which hardware virtualization it shows: `vmx` (Intel), `svm` (AMD), or None."""
    return parse_virtualization(machine.read(CPUINFO) or "")


def parse_virtualization(cpuinfo: str) -> str | None:
    """The same, from /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return next((flag for flag in ("vmx", "svm") if flag in flags.split()), None)
    return None
