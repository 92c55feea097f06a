"""look: what the steps of this machine would do now, by their own observe and decide; nothing is changed.

It is brought along by whoever asks, so that it also works where the package on the machine is gone or altered.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from onnode import registry
from onnode.contract.documents import document, parse
from onnode.contract.look import Look, LookReport, LookStep, Refusal, StepLook
from onnode.errors import StepError
from onnode.step import Step, act_never, decide_nothing
from onnode.system.machine import UTF_8

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

AT_ONCE = 4  # most of the time a step waits for a program of the machine's
PACKAGE = "/var/lib/nested-pve-ha/onnode"


def observe(machine: ThisMachine, desired: Look) -> LookReport:
    """Let each step look and decide.

    Raises:
        StepError: pve-filesystem-hangs. The steps would find that one after another, each after its own time.
    """
    machine.names("/etc/pve")
    altered = [name for name, digest in desired.files.items() if _digest(machine, name) != digest]
    with ThreadPoolExecutor(AT_ONCE) as workers:
        return LookReport(list(workers.map(partial(_asked, machine), desired.steps)), altered)


def _digest(machine: ThisMachine, name: str) -> str:
    text = machine.read(f"{PACKAGE}/{name}")
    return "" if text is None else hashlib.sha256(text.encode(*UTF_8)).hexdigest()


def _asked(machine: ThisMachine, one: LookStep) -> StepLook:
    try:
        step = registry.step(one.step)
        wanted = parse(step.desired, json.loads(one.desired)) if step.desired is not None else None
    except (KeyError, ValueError):
        return StepLook(one.name, [])  # recorded by another version: it runs again anyway, since its input differs
    try:
        machine.hide(*step.secrets(wanted))
        observed = step.observe(machine, wanted)
        actions = step.decide(observed, wanted)
    except StepError as error:
        parts = (error.code, error.what, error.observed, error.expected, error.fix)
        return StepLook(one.name, [], Refusal(*map(machine.scrub, parts), addresses=error.addresses))
    except Exception as error:  # noqa: BLE001 - one step that cannot look must not hide what the others see
        return StepLook(one.name, [], Refusal("internal", f"step {one.step} cannot observe the machine", repr(error)))
    texts = [_told(action, step.differs(observed, wanted, action)) for action in actions]
    return StepLook(one.name, [machine.scrub(text) for text in texts], facts=_facts(step, observed))


def _facts(step: Step[Any, Any], observed: object) -> dict[str, Any] | None:
    return step.facts(observed, None) if step.desired is None else None


def _told(action: object, differs: str) -> str:
    return f"{action} ({differs})" if differs else str(action)


def facts(observed: LookReport, _desired: Look) -> dict[str, Any]:
    """All that was found."""
    return document(observed)


def unchanged(observed: LookReport, _desired: Look) -> str:
    """Say how much was looked at."""
    return f"{len(observed.steps)} steps looked"


STEP = Step(Look, observe, decide_nothing, act_never, facts, unchanged, lock="none")
