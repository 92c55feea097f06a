"""The kernel's command line, as a boot loader takes it from /etc/kernel/cmdline: what it says about modules.

Both the kernel and modprobe read it, and it comes after all files (kmod: libkmod-config.c).
"""

from __future__ import annotations

from pathlib import Path

FILE = Path("/proc/cmdline")
CONFIGURED = Path("/etc/kernel/cmdline")
DEFAULT = "root=/dev/mapper/pve-root ro quiet"


def configured() -> str:
    """What the next boot gets."""
    return CONFIGURED.read_text().strip() if CONFIGURED.exists() else DEFAULT


def options(module: str) -> dict[str, str]:
    """The parameters of a module: `kvm_intel.nested=0`."""
    words = (word.partition("=") for word in FILE.read_text().split())
    named = ((key.replace("-", "_").partition("."), value) for key, _, value in words)
    return {name: value for (owner, _, name), value in named if owner == module and name}


def refused(module: str) -> bool:
    """Whether the kernel itself refuses to load it."""
    return module in _listed("module_blacklist")


def kept_out(module: str) -> bool:
    """Whether it is not loaded by itself at boot."""
    return module in _listed("module_blacklist") | _listed("modprobe.blacklist")


def _listed(word: str) -> set[str]:
    values = (value for key, _, value in (one.partition("=") for one in FILE.read_text().split()) if key == word)
    return {name for value in values for name in value.replace("-", "_").split(",")}
