"""From a command line to a step, and from its end to what people and the program read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from onnode import registry
from onnode.contract.documents import parse
from onnode.errors import StepError
from onnode.step import Outcome, Step, converge
from onnode.system import lock
from onnode.system.machine import ThisMachine

if TYPE_CHECKING:
    from types import FrameType


def main(argv: list[str], machine: ThisMachine | None = None) -> int:
    """Run the step that the arguments name; its exit code."""
    machine = machine or ThisMachine()
    os.umask(
        0o022
    )  # whatever this machine's is: others pass through directories, and what is secret has a mode of its own
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a lost connection must not stop a join half way
    try:
        outcome = _run(" ".join(argv), machine)
    except StepError as error:
        machine.note(error.render())
        return 1
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        machine.note(_internal(error).render())
        return 1
    return _report(machine, outcome)


def _run(name: str, machine: ThisMachine) -> Outcome:
    step = _step(name)
    if os.geteuid() != 0:
        raise StepError("not-root", "this step changes the system", observed=f"user id {os.geteuid()}", expected="0")
    desired = _desired(step)
    with _locked(step, name, machine, desired):
        return converge(step, machine, desired)


def _locked(
    step: Step[Any, Any], name: str, machine: ThisMachine, desired: object
) -> contextlib.AbstractContextManager[None]:
    scope, wait_s = step.scope(desired), step.lock_wait_s(desired)
    if step.lock != "none":
        return lock.hold(machine, name, wait_s=wait_s, shared=step.lock == "shared", scope=scope)
    return contextlib.nullcontext() if scope is None else lock.hold_scope(machine, name, wait_s=wait_s, scope=scope)


def _step(name: str) -> Step[Any, Any]:
    try:
        return registry.step(name)
    except KeyError:
        raise StepError(
            "bad-input", f"there is no step {name!r}", observed=name, expected=", ".join(registry.STEPS)
        ) from None


def _desired(step: Step[Any, Any]) -> object:
    if step.desired is None:
        return None
    try:
        return parse(step.desired, json.load(sys.stdin))
    except ValueError as error:
        raise StepError("bad-input", "the desired state on standard input is invalid", observed=str(error)) from None


def _interrupted(number: int, _frame: FrameType | None) -> None:
    raise StepError("interrupted", "the step was stopped", observed=signal.Signals(number).name)


def _internal(error: Exception) -> StepError:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "?"  # noqa: PTH119
    return StepError(
        "internal", "the step met a case that it does not know", observed=f"{type(error).__name__} at {where}: {error}"
    )


def _legible(result: dict[str, Any]) -> str:
    """JSON that every reader takes: bytes of a file that are no UTF-8 stand in it as halves of characters."""
    text = json.dumps(result, ensure_ascii=False).encode(errors="replace").decode()
    return json.dumps(json.loads(text), sort_keys=True)


def _report(machine: ThisMachine, outcome: Outcome) -> int:
    line = _legible({"changed": outcome.changed, "facts": outcome.facts})
    try:
        sys.stdout.write(machine.scrub(line) + "\n")
        sys.stdout.flush()
    except OSError:
        return 1  # nobody listens any more: the program was killed
    return 0
