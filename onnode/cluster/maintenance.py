"""maintenance: the HA manager takes all guests from a node, and gives it none; or gives it back those that it had.

Asked of any working member: the HA manager's queue is the cluster's. It lasts over a reboot, until it is ended. VMs move while they
run; containers are stopped, and started where they go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.cluster import ha_manager
from onnode.cluster.ha_manager import MAINTENANCE
from onnode.contract.guests import Maintenance
from onnode.errors import StepError
from onnode.step import Action, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.system.machine import ThisMachine

GUESTS_S = 3600.0  # a live migration copies a guest's whole memory
STALLS_S = 60.0  # six rounds of the HA manager: a guest that it has not begun to move by then, it never will
POLL_S = 1.0
WITHDRAW_S = 60  # six rounds again
ONLINE = "online"


@dataclass(frozen=True)
class Observed:
    """The node, as the HA manager has it."""

    ha: ha_manager.NodeInHa


def observe(machine: ThisMachine, desired: Maintenance) -> Observed:
    """Read what HA publishes."""
    return Observed(ha_manager.observe(machine, desired.node))


def decide(observed: Observed, desired: Maintenance) -> list[Action]:
    """First the node's state, then its guests."""
    if not is_taken_up(observed.ha, enabled=desired.enabled):
        return [Action("enable" if desired.enabled else "disable", f"maintenance of {desired.node}")]
    waited = _waited_for(observed.ha, desired)
    return [Action("wait", f"until HA has moved {', '.join(waited)}")] if waited else []


def is_taken_up(ha: ha_manager.NodeInHa, *, enabled: bool) -> bool:
    """Whether the HA manager and the node's agent have done what was asked for."""
    if enabled:
        return ha.requested and ha.state == MAINTENANCE
    return not ha.requested and MAINTENANCE not in (ha.state, ha.mode)


def _waited_for(ha: ha_manager.NodeInHa, desired: Maintenance) -> list[str]:
    return sorted({*ha.moving, *(ha.guests if desired.enabled else [])})


def act(machine: ThisMachine, desired: Maintenance, action: Action) -> None:
    """Do one thing, and wait for it.

    Raises:
        StepError: maintenance-not-taken, guests-remain, command-failed.
    """
    if action.do == "wait":
        _wait_for_guests(machine, desired)
        return
    ask(machine, desired.node, enabled=desired.enabled)
    await_taken_up(
        machine, desired, lambda: is_taken_up(ha_manager.observe(machine, desired.node), enabled=desired.enabled)
    )


def withdraw(machine: ThisMachine, node: str) -> None:
    """End what was asked for, and see that; HA gives a node guests again once it sees its agent, and one that is off later.

    Raises:
        StepError: maintenance-not-taken, command-failed.
    """
    ask(machine, node, enabled=False)
    ended = Maintenance(node, enabled=False, timeout_s=WITHDRAW_S)
    await_taken_up(machine, ended, lambda: not ha_manager.observe(machine, node).requested)


def ask(machine: ThisMachine, node: str, *, enabled: bool) -> None:
    """Give the HA manager the command, unless it has taken it up already.

    Raises:
        StepError: command-failed.
    """
    if ha_manager.observe(machine, node).requested != enabled:
        verb = "enable" if enabled else "disable"
        machine.check(["ha-manager", "crm-command", "node-maintenance", verb, node])


def await_taken_up(machine: ThisMachine, desired: Maintenance, is_seen: Callable[[], bool]) -> None:
    """Wait until what was asked for is seen.

    Raises:
        StepError: maintenance-not-taken.
    """
    if not machine.wait_for(is_seen, desired.timeout_s):
        seen = ha_manager.observe(machine, desired.node)
        raise StepError(
            "maintenance-not-taken",
            f"the HA manager did not {'enable' if desired.enabled else 'disable'} maintenance of {desired.node}",
            observed=f"after {desired.timeout_s} s it has the node in state {seen.state or 'unknown'}, "
            f"and the node's agent is in mode {seen.mode or 'unknown'}",
            expected=f"state {MAINTENANCE if desired.enabled else ONLINE}",
        )


def _wait_for_guests(machine: ThisMachine, desired: Maintenance) -> None:
    """Wait as long as HA moves something; guests that it leaves where they are have no other place."""
    end = machine.monotonic() + GUESTS_S
    stalled = machine.monotonic() + STALLS_S
    while waited := _waited_for(seen := ha_manager.observe(machine, desired.node), desired):
        now = machine.monotonic()
        stalled = now + STALLS_S if seen.moving else stalled
        if now >= min(end, stalled):
            raise _remain(desired, waited)
        machine.sleep(POLL_S)


def _remain(desired: Maintenance, waited: list[str]) -> StepError:
    return StepError(
        "guests-remain",
        f"HA did not move all guests {'away from' if desired.enabled else 'back to'} {desired.node}",
        observed=", ".join(waited),
        expected="none of them" if desired.enabled else "guests at rest",
    )


def facts(observed: Observed, _desired: Maintenance) -> dict[str, Any]:
    """How the HA manager has the node."""
    return {"state": observed.ha.state}


def unchanged(observed: Observed, desired: Maintenance) -> str:
    """Say what was found."""
    return f"{desired.node} is {observed.ha.state or 'unknown'} to the HA manager"


def _scope(desired: Maintenance) -> str:
    return f"maintenance-{desired.node}"


STEP = Step(Maintenance, observe, decide, act, facts, unchanged, lock="shared", scope=_scope)
