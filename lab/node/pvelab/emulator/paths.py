"""Where the parts of the emulator find each other on a libvirt host."""

from __future__ import annotations

from pathlib import Path

EMULATOR = "/usr/bin/qemu-system-x86_64"  # where libvirt looks
QEMU = f"{EMULATOR}.distrib"  # Debian's own
CODE = "/usr/lib/pve-lab-emulator"  # a copy of this package
FIRMWARE = "/usr/share/qemu/pve-lab-idle.bin"
MONITORS = Path("/run/pve-lab-domains")  # a socket for the lab for each domain, named by its UUID
KVM = Path("/dev/kvm")
