"""Which kind of outer host this machine is: the only module of the steps that names an implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.host.proxmox_ve import ProxmoxVe

if TYPE_CHECKING:
    from onnode.host.hypervisor import Hypervisor
    from onnode.system.machine import ThisMachine


def hypervisor(machine: ThisMachine) -> Hypervisor:
    """What runs the VMs of this machine."""
    return ProxmoxVe(machine)
