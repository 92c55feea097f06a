"""restart-corosync: corosync and what depends on it start anew on this node, in the order that Proxmox VE's users know.

Some settings, such as link_mode, corosync reads only when it starts. Who asks for this step has seen that the other members are
quorate without this node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import admission, corosync_restarts, membership, way_in
from onnode.contract.corosync import CorosyncRestart
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

UNITS = ("corosync", "pve-cluster", "pvedaemon", "pveproxy")
SERVICE_S = 60.0


@dataclass(frozen=True)
class Observed:
    """This node, and the members that have yet to restart corosync."""

    node: str
    wanted: list[str] = field(default_factory=list)


def observe(machine: ThisMachine, _desired: CorosyncRestart) -> Observed:
    """Look at this node."""
    return Observed(membership.hostname(machine), corosync_restarts.wanted(machine))


def decide(observed: Observed, _desired: CorosyncRestart) -> list[Action]:
    """Restart where it is still wanted."""
    if observed.node not in observed.wanted:
        return []
    return [Action("restart", ", ".join(UNITS)), Action("done", f"with corosync on {observed.node}")]


def act(machine: ThisMachine, desired: CorosyncRestart, action: Action) -> None:
    """Restart all, and wait for the quorum; then note that this node has done so.

    Raises:
        StepError: no-quorum, api-down, mark-failed, or that of a failing command.
    """
    if action.do == "restart":
        way_in.open_up(machine)  # root's keys are a link into /etc/pve, which is away for a moment
        for unit in UNITS:
            machine.check(["systemctl", "restart", unit], timeout_s=SERVICE_S)
        admission.wait_for_quorum(machine, desired.timeout_s)
        admission.wait_for_api(machine)
        way_in.close(machine)
    else:
        node = membership.hostname(machine)
        corosync_restarts.note(machine, [name for name in corosync_restarts.wanted(machine) if name != node])


def facts(observed: Observed, _desired: CorosyncRestart) -> dict[str, Any]:
    """Who has yet to restart."""
    return {"wanted": observed.wanted}


def unchanged(observed: Observed, _desired: CorosyncRestart) -> str:
    """Say what was found."""
    return f"no restart of corosync is wanted on {observed.node}"


STEP = Step(CorosyncRestart, observe, decide, act, facts, unchanged)
