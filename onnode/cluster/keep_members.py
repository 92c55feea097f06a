"""keep-members: nodes stay that were to be removed, so that what the removal began ends: they get guests again.

Asked of any working member. A node that somebody else has put into HA maintenance has no mark, and stays in it. So does one that
is off the cluster's list, until it has joined again: HA takes no such command for a node that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, ha_manager, maintenance, membership
from onnode.cluster.evacuate_node import LEAVING
from onnode.contract.removal import KeepMembers
from onnode.step import Action, Step
from onnode.system import marks

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """The listed nodes that a removal of this stack has marked, and whether HA is asked to have each in maintenance."""

    marked: dict[str, bool] = field(default_factory=dict)


def observe(machine: ThisMachine, desired: KeepMembers) -> Observed:
    """Read the marks, and what HA publishes."""
    conf = corosync.parse_conf(machine.read(membership.PVE_CONF) or "")
    listed = [name for name in desired.nodes if conf is not None and conf.node(name) is not None]
    marked = [name for name in listed if marks.owner(machine, LEAVING, name) == desired.stack_tag]
    return Observed({name: ha_manager.observe(machine, name).requested for name in marked})


def decide(observed: Observed, _desired: KeepMembers) -> list[Action]:
    """The mark goes last: it is what tells a later call to go on here."""
    return [Action("give-back" if is_requested else "unmark", name) for name, is_requested in observed.marked.items()]


def act(machine: ThisMachine, _desired: KeepMembers, action: Action) -> None:
    """End the maintenance of one node, or forget it.

    Raises:
        StepError: maintenance-not-taken, mark-failed, command-failed.
    """
    if action.do == "unmark":
        marks.take_away(machine, LEAVING, action.what)
    else:
        maintenance.withdraw(machine, action.what)


def facts(_observed: Observed, desired: KeepMembers) -> dict[str, Any]:
    """Which nodes stay."""
    return {"nodes": desired.nodes}


def unchanged(_observed: Observed, desired: KeepMembers) -> str:
    """Say what was found."""
    return f"no removal of {', '.join(desired.nodes)} was begun"


STEP = Step(KeepMembers, observe, decide, act, facts, unchanged)
