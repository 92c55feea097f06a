"""Which kind of outer host this machine is: the only module of the steps that names an implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.host import proxmox_ve
from onnode.host.installation_medium import Assistant, Xorriso
from onnode.host.libvirt import Libvirt
from onnode.host.proxmox_ve import ProxmoxVe

if TYPE_CHECKING:
    from onnode.host.hypervisor import Hypervisor
    from onnode.host.installation_medium import InstallationMedium
    from onnode.system.machine import ThisMachine


def hypervisor(machine: ThisMachine) -> Hypervisor:
    """What runs the VMs of this machine; on one without Proxmox VE that is libvirt, installed or not yet."""
    return ProxmoxVe(machine) if proxmox_ve.here(machine) else Libvirt(machine)


def medium(machine: ThisMachine) -> InstallationMedium:
    """What makes installation CDs on this machine; only Proxmox' own repositories have their assistant."""
    return Assistant(machine) if proxmox_ve.here(machine) else Xorriso(machine)
