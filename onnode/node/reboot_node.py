"""reboot-node: a member without running guests reboots, once.

Whether it is back, whoever asked sees by a new boot id (F14).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.node import RebootNode
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import kernel, pve

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """The node's boots, and what a reboot would end."""

    node: str
    kernel: kernel.Kernels
    guests: list[str] = field(default_factory=list)  # that run


def observe(machine: ThisMachine, _desired: RebootNode) -> Observed:
    """Look at the node."""
    return Observed(membership.hostname(machine), kernel.observe(machine), pve.running_guests(machine))


def decide(observed: Observed, desired: RebootNode) -> list[Action]:
    """Reboot, unless that has happened, or is about to.

    Raises:
        StepError: hostname, guests-running.
    """
    if observed.node != desired.node:
        raise StepError("hostname", "the machine has another name", observed=observed.node, expected=desired.node)
    if observed.kernel.boot_id != desired.boot_id or observed.kernel.rebooting:
        return []
    if observed.guests:
        raise StepError(
            "guests-running",
            f"{desired.node} is not rebooted while guests run on it",
            observed=", ".join(observed.guests),
            expected="no running guest",
        )
    return [Action("reboot", desired.node)]


def act(machine: ThisMachine, _desired: RebootNode, _action: Action) -> None:
    """Ask for it."""
    kernel.schedule_reboot(machine)


def facts(observed: Observed, _desired: RebootNode) -> dict[str, Any]:
    """Which boot this is."""
    return {"boot_id": observed.kernel.boot_id}


def unchanged(observed: Observed, _desired: RebootNode) -> str:
    """Say what was found."""
    return f"{observed.node} has rebooted, or is about to"


STEP = Step(RebootNode, observe, decide, act, facts, unchanged)
