"""How every step works: observe, decide, act only on a difference, observe again, fail unless the wanted is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.system.machine import ThisMachine

D = TypeVar("D")
O = TypeVar("O")  # noqa: E741 - the observed

ROUNDS_MAX = 20  # no step has that many phases: more would be a loop


@dataclass(frozen=True)
class Action:
    """One thing to do: a verb, and the value it is done with (plain JSON types, so that tests can state it)."""

    do: str
    what: str = ""
    text: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.do} {self.what}".strip()


@dataclass(frozen=True)
class Outcome:
    """What a step reports in its last line."""

    changed: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class Step(Generic[D, O]):
    """One step.

    Attributes:
        desired: class of its input, or None if it takes none.
        observe: look at the machine, changing nothing.
        decide: pure; what to do next, nothing when all is as wanted. It is asked again after its actions were done,
            so work in phases is a decision per phase. It raises `StepError` for what must be refused.
        act: do one action.
        facts: pure; what the program wants to know.
        unchanged: pure; one line saying what was found to be in order already.
        lock: "exclusive" (changes the machine), "shared" (others may look meanwhile), "none".
        scope: a name for a second, exclusive lock, for steps that only exclude their own kind, or for the only one.
        lock_wait_s: how long to wait for another step.
        secrets: texts of the input that no message may carry.
        differs: pure; the value that an action would change, for people who ask what drifted.
    """

    desired: type[D] | None
    observe: Callable[[ThisMachine, D], O]
    decide: Callable[[O, D], list[Action]]
    act: Callable[[ThisMachine, D, Action], None]
    facts: Callable[[O, D], dict[str, Any]]
    unchanged: Callable[[O, D], str]
    lock: str = "exclusive"
    scope: Callable[[D], str | None] = lambda _desired: None
    lock_wait_s: Callable[[D], float] = lambda _desired: 300.0
    secrets: Callable[[D], list[str]] = lambda _desired: []
    differs: Callable[[O, D, Action], str] = lambda _observed, _desired, _action: ""


def decide_nothing(_observed: object, _desired: object) -> list[Action]:
    """The `decide` of steps that only look."""
    return []


def act_never(_machine: ThisMachine, _desired: object, action: Action) -> None:
    """The `act` of steps that only look."""
    raise AssertionError(f"a step that only looks decided to {action}")


def converge(step: Step[D, O], machine: ThisMachine, desired: D) -> Outcome:
    """Bring the machine to the desired state.

    Raises:
        StepError: refused, failed, or `not-converged` when an action that was done is still seen to be needed.
    """
    machine.hide(*step.secrets(desired))
    done: set[Action] = set()
    for _ in range(ROUNDS_MAX):
        observed = step.observe(machine, desired)
        actions = step.decide(observed, desired)
        if not actions:
            if not done:
                machine.note(f"unchanged: {step.unchanged(observed, desired)}")
            return Outcome(bool(done), step.facts(observed, desired))
        if futile := [action for action in actions if action in done]:
            break
        for action in actions:
            machine.note(str(action))
            step.act(machine, desired, action)
            done.add(action)
    raise StepError(
        "not-converged",
        "the changes did not have the wanted effect",
        observed=f"still to do after the changes: {', '.join(map(str, futile))}",
        expected="nothing left to do",
    )
