"""From `python -m cluster NAME` to a step, and from its end to what the engine records and people read."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.contract import KNOWN_VARIABLE, SECRETS_VARIABLE, STEPS, Secrets
from cluster.errors import AdminError
from onnode.contract.documents import parse
from onnode.errors import StepError
from onnode.system.machine import bounded

if TYPE_CHECKING:
    from onnode.step import Outcome

PREVIOUS_VARIABLE = "PULUMI_COMMAND_STDOUT"
LASTING = "! "  # how lines begin that stay


@dataclass(frozen=True)
class Call:
    """What a step is given besides its desired state."""

    secrets: Secrets
    previous: dict[str, Any] | None = None  # facts of the run before, where the engine remembers them
    known: dict[str, Any] | None = None  # facts of the step `identity`, where they are given


def call(argv: list[str]) -> int:
    """Run `NAME`, or with `NAME --delete` what undoes it; its exit code."""
    try:
        outcome = _run(argv[0] if argv else "", delete=argv[1:] == ["--delete"])
    except StepError as error:
        note(error.render())
        return 1
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        note(unexpected(error).render())
        return 1
    with contextlib.suppress(OSError):  # nobody listens any more: the engine was killed
        sys.stdout.write(json.dumps({"changed": outcome.changed, "facts": outcome.facts}, sort_keys=True) + "\n")
        sys.stdout.flush()
    return 0


def _run(name: str, *, delete: bool) -> Outcome:
    if name not in STEPS:
        raise AdminError("bad-call", f"there is no step {name!r}", observed=name, expected=", ".join(STEPS))
    try:
        desired = parse(STEPS[name], json.load(sys.stdin))
        call = Call(_secrets(), _facts(PREVIOUS_VARIABLE), _facts(KNOWN_VARIABLE))
    except ValueError as error:
        raise AdminError("bad-call", f"the input of step {name} is invalid", observed=str(error)) from None
    # Only the step that runs is loaded: a run of the program starts two dozen of them.
    module = importlib.import_module(f"cluster.steps.{name.replace('-', '_')}")
    outcome: Outcome = asyncio.run((module.remove if delete else module.bring_about)(desired, call))
    return outcome


def _secrets() -> Secrets:
    text = os.environ.pop(SECRETS_VARIABLE, None)  # no child process needs them
    if text is None:
        raise ValueError(f"environment variable {SECRETS_VARIABLE} is not set")
    try:
        return parse(Secrets, json.loads(text))
    except ValueError:
        raise ValueError(f"{SECRETS_VARIABLE} does not hold the secrets as JSON") from None  # and is never quoted


def _facts(variable: str) -> dict[str, Any] | None:
    """Of what a step printed."""
    lines = os.environ.get(variable, "").strip().splitlines()
    return json.loads(lines[-1])["facts"] if lines else None


def note(text: str) -> None:
    """One progress line. Nobody may be listening any more: the step goes on."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{bounded(text)}\n")
        sys.stderr.flush()


def tell(text: str) -> None:
    """What people must know when the run is over: it stays on the screen, where progress goes."""
    note(f"{LASTING}{text}")


def unexpected(error: Exception) -> AdminError:
    """An unexpected error, in one line instead of a traceback."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "?"  # noqa: PTH119
    return AdminError(
        "unexpected",
        "this program met a case that it does not know",
        observed=f"{type(error).__name__} at {where}: {error}",
    )
