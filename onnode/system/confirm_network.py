"""confirm-network: this login came after a change of the network, so the change may stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import lock, network_guard

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """What became of the last change."""

    guard: str
    error: StepError | None = None
    holder: str | None = None  # of the machine's lock


def observe(machine: ThisMachine, _desired: None) -> Observed:
    """Look at the switch."""
    guard = network_guard.state(machine)
    return Observed(guard, network_guard.reverted(machine) if guard == "reverted" else None, lock.holder(machine))


def decide(observed: Observed, _desired: None) -> list[Action]:
    """Confirm what is not confirmed yet.

    Raises:
        StepError: network-reverted, machine-busy.
    """
    if observed.holder is not None and "node-network" in observed.holder:
        raise StepError(
            "machine-busy",
            "the network is still being changed, so a login proves nothing yet",
            observed=observed.holder,
            expected="no step node-network at work",
        )
    if observed.error is not None:
        raise observed.error
    return [Action("confirm", "the network's change")] if observed.guard == "armed" else []


def act(machine: ThisMachine, _desired: None, _action: Action) -> None:
    """Stop the timer."""
    network_guard.confirm(machine)


def facts(_observed: Observed, _desired: None) -> dict[str, Any]:
    """Nothing that the program would need."""
    return {}


def unchanged(_observed: Observed, _desired: None) -> str:
    """Say what was found."""
    return "no change of the network waits for its confirmation"


# Without the lock: the timer would not wait for it.
STEP = Step(None, observe, decide, act, facts, unchanged, lock="none")
