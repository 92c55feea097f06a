"""look: what the steps of this machine would do now, by their own observe and decide; nothing is changed.

It is brought along by whoever asks, so that it also works where the package on the machine is gone or altered.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from onnode import registry
from onnode.contract import Look, LookStep, parse
from onnode.errors import StepError
from onnode.step import Step, act_never, decide_nothing
from onnode.system.machine import UTF_8

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

AT_ONCE = 4  # most of the time a step waits for a program of the machine's
PACKAGE = "/var/lib/nested-pve-ha/onnode"


@dataclass(frozen=True)
class Seen:
    """What one step found: the actions that it would take with what they differ in, or its refusal."""

    name: str
    actions: list[str]
    refusal: dict[str, str] | None = None
    facts: dict[str, Any] | None = None  # of steps without a desired state, which only look


@dataclass(frozen=True)
class Observed:
    """All steps, and the files of the package that are gone or altered."""

    steps: list[Seen]
    altered: list[str]


def observe(machine: ThisMachine, desired: Look) -> Observed:
    """Let each step look and decide."""
    altered = [name for name, digest in desired.files.items() if _digest(machine, name) != digest]
    with ThreadPoolExecutor(AT_ONCE) as workers:
        return Observed(list(workers.map(partial(_asked, machine), desired.steps)), altered)


def _digest(machine: ThisMachine, name: str) -> str:
    text = machine.read(f"{PACKAGE}/{name}")
    return "" if text is None else hashlib.sha256(text.encode(*UTF_8)).hexdigest()


def _asked(machine: ThisMachine, one: LookStep) -> Seen:
    try:
        step = registry.step(one.step)
        wanted = parse(step.desired, json.loads(one.desired)) if step.desired is not None else None
    except (KeyError, ValueError):
        return Seen(one.name, [])  # recorded by another version: it runs again anyway, since its input differs
    try:
        machine.hide(*step.secrets(wanted))
        observed = step.observe(machine, wanted)
        actions = step.decide(observed, wanted)
    except StepError as error:
        told = {"code": error.code, "what": error.what, "observed": error.observed, "expected": error.expected}
        told["next"] = error.fix
        return Seen(one.name, [], {key: machine.scrub(text) for key, text in told.items()})
    except Exception as error:  # noqa: BLE001 - one step that cannot look must not hide what the others see
        return Seen(one.name, [], {"code": "internal", "what": f"step {one.step} cannot look", "observed": repr(error)})
    texts = [_told(action, step.differs(observed, wanted, action)) for action in actions]
    return Seen(one.name, [machine.scrub(text) for text in texts], facts=_facts(step, observed))


def _facts(step: Step[Any, Any], observed: object) -> dict[str, Any] | None:
    return step.facts(observed, None) if step.desired is None else None


def _told(action: object, differs: str) -> str:
    return f"{action} ({differs})" if differs else str(action)


def facts(observed: Observed, _desired: Look) -> dict[str, Any]:
    """All that was found."""
    return {"steps": [dataclasses.asdict(one) for one in observed.steps], "altered": observed.altered}


def unchanged(observed: Observed, _desired: Look) -> str:
    """Say how much was looked at."""
    return f"{len(observed.steps)} steps looked"


STEP = Step(Look, observe, decide_nothing, act_never, facts, unchanged, lock="none")
