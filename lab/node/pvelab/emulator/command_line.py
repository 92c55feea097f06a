"""QEMU's command line as libvirt writes it, and as it is here: no KVM behind it, idle firmware, a second monitor for the lab."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from pvelab.emulator import paths

if TYPE_CHECKING:
    from collections.abc import Sequence

# What only KVM has, or what would start another firmware.
ONLY_KVM = re.compile(r",(?:kernel[_-]irqchip|pflash[01])=[^,]*")
# What makes a host of a processor. QEMU can emulate AMD's, and a model of libvirt does not turn it on.
VIRTUALIZATION = ("svm", "npt", "nrip-save", "svme-addr-chk", "vgif", "vmx")
PROCESSOR = ",".join(["max", *(f"{feature}=off" for feature in VIRTUALIZATION)])


def value(arguments: Sequence[str], option: str) -> str | None:
    """What follows an option; None if it is not there."""
    for name, following in pairwise(arguments):
        if name == option:
            return following
    return None


def _replaced(arguments: Sequence[str], option: str, text: str) -> list[str]:
    before = ["", *arguments]
    return [text if name == option else word for name, word in zip(before, arguments, strict=False)]


def asks_for_kvm(arguments: Sequence[str]) -> bool:
    """Whether this QEMU is to use KVM, be it only to say what it can."""
    machine = value(arguments, "-machine") or ""
    return (value(arguments, "-accel") or "").startswith("kvm") or "accel=kvm" in machine


def without_kvm(arguments: Sequence[str]) -> list[str]:
    """The same with QEMU's own emulation in its place, which knows other processors."""
    machine = re.sub(r"accel=kvm[^,]*", "accel=tcg", ONLY_KVM.sub("", value(arguments, "-machine") or ""))
    changed = _replaced(_replaced(arguments, "-machine", machine), "-accel", "tcg")
    return _replaced(changed, "-cpu", PROCESSOR)


def is_probe(arguments: Sequence[str]) -> bool:
    """Whether libvirt only wants to know what QEMU can."""
    return (value(arguments, "-machine") or "").startswith("none")


def idle(arguments: Sequence[str]) -> list[str]:
    """A domain that waits: what it does is decided where its system runs."""
    machine = ONLY_KVM.sub("", value(arguments, "-machine") or "")
    socket = paths.MONITORS / (value(arguments, "-uuid") or "none")
    monitor = f"socket,id=pve-lab,path={socket},server=on,wait=off"
    kept = _replaced(arguments, "-machine", machine)
    return [*kept, "-bios", paths.FIRMWARE, "-chardev", monitor, "-mon", "chardev=pve-lab,mode=control"]
