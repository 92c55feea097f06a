"""An outer host that runs libvirt: its VMs by `virsh`, their marks as its files have them.

It has no numbers: that of a VM stands in the mark, so that only this product's VMs have one.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnode.errors import StepError
from onnode.host import libvirt_files, libvirt_xml, virsh
from onnode.host.hypervisor import RunningVm, Vm

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnode.host.libvirt_files import Domain
    from onnode.system.machine import ThisMachine

VM_S = 120.0
OFF = ("shut off", "crashed")
PACKAGES = ("libvirt", "qemu")  # how the names of its own begin
EMULATOR = "qemu-system"  # how its processes are called
SESSIONS = ".config/libvirt/qemu"  # below a user's home: the domains of the user's own libvirt
OWN_NETWORK = "default"  # comes with libvirt's packages, and goes with them


@dataclass(frozen=True)
class Libvirt:
    """libvirt on this machine; :class:`onnode.host.hypervisor.Hypervisor` says what each method is for."""

    machine: ThisMachine

    def vm(self, vmid: int) -> Vm | None:
        """As its file says."""
        found = self._domain(vmid)
        return None if found is None else as_vm(found)

    def taken(self, vmids: Collection[int]) -> dict[int, Vm]:
        """The domains that have these numbers in their mark, whichever stack made them."""
        found = libvirt_files.domains(self.machine)
        return {one.vmid: as_vm(one) for one in found if one.vmid is not None and one.vmid in vmids}

    def runs(self, vmid: int) -> bool:
        """Also one that is paused: it can be stopped, and not be started."""
        found = self._domain(vmid)
        return found is not None and virsh.virsh(self.machine, "domstate", found.name).strip() not in OFF

    def running(self) -> list[RunningVm]:
        """As libvirt lists them. One that is not installed, or does not answer, has none that anybody could name."""
        try:
            names = virsh.names(self.machine, "list")
        except StepError:
            return []
        vmids = {one.name: one.vmid for one in libvirt_files.domains(self.machine)}
        return [RunningVm(vmids.get(name), name) for name in names]

    def marked_bridges(self, stack: str) -> list[str]:
        """Those of the networks with its mark."""
        return [one.bridge for one in libvirt_files.networks(self.machine) if one.stack == stack]

    def image_path(self, storage: str, name: str) -> str:
        """A storage is a directory here."""
        return f"{storage}/{name}"

    def attach_cd(self, vmid: int, storage: str, name: str) -> None:
        """The drive is always there, and always second in the order: it gets a medium, at the VM's next start."""
        self._change_media(vmid, self.image_path(storage, name), "--update", "--config")

    def detach_cd(self, vmid: int) -> None:
        """Also from a VM that runs, whether or not its system has locked the drive: the image is about to go."""
        live = ["--live"] if self.runs(vmid) else []
        self._change_media(vmid, "--eject", "--force", "--config", *live)

    def start(self, vmid: int) -> None:
        """By `virsh start`."""
        self._ask("start", vmid)

    def stop(self, vmid: int) -> None:
        """By `virsh destroy`, which refuses one that is off."""
        if self.runs(vmid):
            self._ask("destroy", vmid)

    def holdings(self, packages: Collection[str]) -> list[str]:
        """Domains, networks and pools, also users' own VMs, and what runs without libvirt: without the packages they would be lost."""
        if not any(name.startswith(PACKAGES) for name in packages):
            return []
        domains = [f"VM {one.name}" for one in libvirt_files.domains(self.machine)]
        networks = [f"network {one.name}" for one in libvirt_files.networks(self.machine) if one.name != OWN_NETWORK]
        pools = [f"pool {one.name}" for one in libvirt_files.pools(self.machine)]
        return [*domains, *networks, *pools, *self._of_users(), *self._processes()]

    def _of_users(self) -> list[str]:
        """The VMs of users' own sessions, which have no part in the system's libvirt."""
        homes = ["/root", *(f"/home/{name}" for name in self.machine.names("/home"))]
        found = [(home, name) for home in homes for name in self.machine.names(f"{home}/{SESSIONS}")]
        return [f"VM {name.removesuffix('.xml')} of {home}" for home, name in found if name.endswith(".xml")]

    def _processes(self) -> list[str]:
        """Emulators that run, whoever started them; a process may end meanwhile."""
        names = {}
        for pid in filter(str.isdecimal, self.machine.names("/proc")):
            with contextlib.suppress(ProcessLookupError):
                names[pid] = (self.machine.read(f"/proc/{pid}/comm") or "").strip()
        return [f"process {pid} ({name})" for pid, name in names.items() if name.startswith(EMULATOR)]

    def _change_media(self, vmid: int, *arguments: str) -> None:
        found = self._there(vmid)
        self._ask("change-media", vmid, found.drive or libvirt_xml.DRIVE, *arguments)

    def _ask(self, command: str, vmid: int, *arguments: str) -> None:
        virsh.virsh(self.machine, command, self._there(vmid).name, *arguments, timeout_s=VM_S)

    def _there(self, vmid: int) -> Domain:
        found = self._domain(vmid)
        if found is None:
            raise StepError(
                "vm-missing",
                f"there is no VM {vmid}",
                observed=f"no domain with that number in {libvirt_files.DOMAINS}",
                expected=f"VM {vmid}",
            )
        return found

    def _domain(self, vmid: int) -> Domain | None:
        found = libvirt_files.domains(self.machine)
        return next((one for one in found if one.vmid == vmid), None)


def as_vm(domain: Domain) -> Vm:
    """The domain as steps know it. An empty drive boots nothing: it is no installation's."""
    has_medium = bool(domain.medium)
    return Vm(domain.name, domain.tags, domain.uuid, cd=has_medium, disk_only=not has_medium)
