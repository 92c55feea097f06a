"""What the steps on an outer host need from the program that runs virtual machines there. Each kind of host has its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from onnode.system import pve

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Vm:
    """A VM, or whatever else has a VM's number.

    Attributes:
        name: which its owner gave it.
        tags: its tags, in lower case; they say whose it is.
        identity: what distinguishes it from a later one of the same number.
        cd: it has the drive of an installation.
        disk_only: it tries to boot from its disk, and from nothing else.
    """

    name: str = "?"
    tags: list[str] = field(default_factory=list)
    identity: str = ""
    cd: bool = False
    disk_only: bool = True

    def owned_by(self, stack: str) -> bool:
        """Whether that stack made it."""
        return pve.owned(self.tags, stack)


@dataclass(frozen=True)
class RunningVm:
    """A VM that runs.

    Attributes:
        vmid: its number; None where only this product's VMs have one, and it is somebody else's.
        name: which its owner gave it.
    """

    vmid: int | None
    name: str

    def __str__(self) -> str:
        return self.name if self.vmid is None else f"{self.vmid} ({self.name})"


class Hypervisor(Protocol):
    """The VMs of one outer host, and whose they are.

    The program makes and destroys them; steps only use them. A method that changes a VM raises StepError: `guest-locked` while something
    else works on it, and those of :meth:`ThisMachine.check`.
    """

    def vm(self, vmid: int) -> Vm | None:
        """The VM of that number on this very host."""

    def taken(self, vmids: Collection[int]) -> dict[int, Vm]:
        """Who has these numbers, also on other hosts if they share their numbers with this one."""

    def runs(self, vmid: int) -> bool:
        """Whether that VM runs."""

    def running(self) -> list[RunningVm]:
        """All VMs of this host that run, whoever made them."""

    def marked_bridges(self, stack: str) -> list[str]:
        """The bridges with this stack's mark."""

    def image_path(self, storage: str, name: str) -> str:
        """Where the image of a CD is, or is to be."""

    def attach_cd(self, vmid: int, storage: str, name: str) -> None:
        """Give it a CD to boot from when its disk is empty. A VM that runs boots from it after a stop and a start."""

    def detach_cd(self, vmid: int) -> None:
        """Take the drive out of its configuration, and let it boot from its disk only."""

    def start(self, vmid: int) -> None:
        """Start it."""

    def stop(self, vmid: int) -> None:
        """Power it off; one that is off stays so."""

    def holdings(self, packages: Collection[str]) -> list[str]:
        """What would be lost if these packages were removed, each for people."""
