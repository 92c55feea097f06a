"""vm-power: whether a nested node that was installed is off; asked of the outer host when the node does not answer.

It only looks: the installation's step starts such a VM, and waits for its node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode import install_node
from onnode.desired import VmPower
from onnode.step import Action, Step, act_never

if TYPE_CHECKING:
    from onnode.machine import Machine


@dataclass(frozen=True)
class Observed:
    """The VM."""

    installed: bool  # by this stack, on this very VM
    running: bool


def observe(machine: Machine, desired: VmPower) -> Observed:
    """Look at the VM, and at what is remembered of it."""
    installed = install_node.installed(machine, desired.stack, desired.vmid)
    return Observed(installed, installed and install_node.running(machine, desired.vmid))


def decide(observed: Observed, desired: VmPower) -> list[Action]:
    """What was installed and is off is to be started; all else is not this step's affair."""
    off = observed.installed and not observed.running
    return [Action("start", f"{desired.name}: VM {desired.vmid} is powered off")] if off else []


def facts(observed: Observed, _desired: VmPower) -> dict[str, Any]:
    """Whether it runs."""
    return {"running": observed.running}


def unchanged(_observed: Observed, desired: VmPower) -> str:
    """Say what was found."""
    return f"VM {desired.vmid} of {desired.name} is not powered off"


STEP = Step(VmPower, observe, decide, act_never, facts, unchanged, lock="shared")
