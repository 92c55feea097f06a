"""vm-power: a nested node that was installed is not off; asked of the outer host when the node does not answer.

It needs nothing of what an installation is made from, so that it can start a node before the program runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.contract.host import VmPower
from onnode.host import install_node, kind
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """The VM."""

    installed: bool  # by this stack, on this very VM
    running: bool


def observe(machine: ThisMachine, desired: VmPower) -> Observed:
    """Look at the VM, and at what is remembered of it."""
    installed = install_node.installed(machine, desired.stack, desired.vmid)
    return Observed(installed, installed and kind.hypervisor(machine).runs(desired.vmid))


def decide(observed: Observed, desired: VmPower) -> list[Action]:
    """What was installed and is off is to be started; all else is not this step's affair."""
    off = observed.installed and not observed.running
    return [Action("start", f"{desired.name}: VM {desired.vmid} is powered off")] if off else []


def act(machine: ThisMachine, desired: VmPower, _action: Action) -> None:
    """Start it, and wait for its node."""
    kind.hypervisor(machine).start(desired.vmid)
    machine.note(f"waiting for {desired.name} to answer at {desired.ssh_address}")
    install_node.wait(machine, desired)


def facts(observed: Observed, _desired: VmPower) -> dict[str, Any]:
    """Whether it runs."""
    return {"running": observed.running}


def unchanged(_observed: Observed, desired: VmPower) -> str:
    """Say what was found."""
    return f"VM {desired.vmid} of {desired.name} is not powered off"


STEP = Step(
    VmPower,
    observe,
    decide,
    act,
    facts,
    unchanged,
    lock="shared",  # several nodes start side by side
    scope=lambda desired: f"vm-{desired.vmid}",
    lock_wait_s=lambda desired: float(desired.timeout_s),
)
