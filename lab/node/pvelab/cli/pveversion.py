"""`pveversion`: the installed release, with -v all of Proxmox's packages."""

from __future__ import annotations

import sys

from pvelab import packages
from pvelab.cli.tool import write

_LISTED = (
    *("proxmox-kernel-helper", "corosync", "ifupdown2", "libpve-access-control", "libpve-cluster-perl", "lxc-pve"),
    *("pve-cluster", "pve-container", "pve-firewall", "pve-ha-manager", "pve-qemu-kvm", "qemu-server"),
)


def summary() -> str:
    """The one line of the plain command."""
    version, repoid = packages.manager_version()
    return f"pve-manager/{version}/{repoid} (running kernel: {packages.running_kernel()})"


def verbose() -> list[str]:
    """The lines of `pveversion -v`."""
    version, repoid = packages.manager_version()
    metapackage = packages.installed("proxmox-ve").get("proxmox-ve", version)
    lines = [
        f"proxmox-ve: {metapackage} (running kernel: {packages.running_kernel()})",
        f"pve-manager: {version} (running version: {version}/{repoid})",
    ]
    kernels = packages.installed("proxmox-kernel-*")
    lines += [f"{name}: {kernels[name]}" for name in sorted(kernels, reverse=True)]
    found = {name: installed for pattern in _LISTED for name, installed in packages.installed(pattern).items()}
    return lines + [f"{name}: {found[name]}" for name in sorted(found) if name not in kernels]


if __name__ == "__main__":
    for line in verbose() if {"-v", "--verbose"} & set(sys.argv[1:]) else [summary()]:
        write(line)
