"""arm-network: before somebody else (the host's own API) changes its network, see to it that it comes back by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode import network_guard
from onnode.desired import ArmNetwork
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.machine import Machine


@dataclass(frozen=True)
class Observed:
    """Whether the switch is armed for this very change."""

    armed: bool


def observe(machine: Machine, desired: ArmNetwork) -> Observed:
    """Look for the mark of this run."""
    return Observed(network_guard.waiting(machine) == _words(desired))


def decide(observed: Observed, desired: ArmNetwork) -> list[Action]:
    """Arm, also where an earlier run ended before it confirmed: this login has shown that its change is good."""
    return [] if observed.armed else [Action("arm", desired.change)]


def act(machine: Machine, desired: ArmNetwork, _action: Action) -> None:
    """Start the timer."""
    network_guard.arm(machine, _words(desired), anew=True)


def _words(desired: ArmNetwork) -> str:
    return f"{desired.change}\n{desired.run}\n"


def facts(_observed: Observed, _desired: ArmNetwork) -> dict[str, Any]:
    """Nothing that the program would need."""
    return {}


def unchanged(_observed: Observed, desired: ArmNetwork) -> str:
    """Say what was found."""
    return f"{desired.change} undoes itself unless it is confirmed"


# Without the lock: an upgrade of packages may hold it for minutes, and touches no network.
STEP = Step(ArmNetwork, observe, decide, act, facts, unchanged, lock="none")
