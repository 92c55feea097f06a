"""A command that leaves a report, however it ends."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import chronicle
from cli.console import err, out
from cluster.call import unexpected
from cluster.errors import AdminError
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.chronicle import Chronicle


BY_HAND = ("not-confirmed", "run-interrupted")


@contextmanager
def report(stack: str, command: str) -> Iterator[None]:
    """Leave a report of what is done within, if it changed something or failed. A report never fails a run."""
    with chronicle.kept() as kept:
        try:
            yield
        except BaseException as error:
            _leave(kept, stack, command, _named(error))
            raise
        _leave(kept, stack, command, None)


def _named(error: BaseException) -> StepError:
    """The error by the name under which the command ends."""
    if isinstance(error, StepError):
        return error
    if isinstance(error, Exception) and not isinstance(error, typer.Abort):
        return unexpected(error)
    return AdminError("run-interrupted", "the run was interrupted")


def _leave(kept: Chronicle, stack: str, command: str, error: StepError | None) -> None:
    # A run that changed nothing is no news, and neither is what a person ended before it changed anything.
    if not kept.changed and (error is None or error.code in BY_HAND):
        return
    try:
        file = written(kept, stack, command, error)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the run is what counts
        why = problem.strerror if isinstance(problem, OSError) and problem.strerror else repr(problem)
        err.print(f"warning: the run's report cannot be written: {why}", markup=False, soft_wrap=True)
        return
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    out.print(f"\nReport: {shown} (and .md, .json)", markup=False, soft_wrap=True)


def written(kept: Chronicle, stack: str, command: str, error: StepError | None) -> Path:
    """Write the report, without secrets.

    Raises:
        OSError: why it cannot be written.
    """
    # Slow to load, and a run that changes nothing needs it not.
    from cli.run_report import masking, model, render, writing  # noqa: PLC0415

    document = model.document(kept, stack, command, error, time.time())
    shown = masking.masked(document, kept.secrets | masking.of_environment({**kept.environment, **os.environ}))
    texts = {
        "json": json.dumps(shown, indent=2, ensure_ascii=False) + "\n",
        "md": render.markdown(shown),
        "html": render.html(shown),
    }
    return writing.write(document["began"], stack, command, texts)
