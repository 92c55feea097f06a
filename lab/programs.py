"""Running programs, from plain code and from the daemon's event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT_S = 600.0  # unpacking the image on a busy machine takes a tenth of it
ERROR_TAIL = 2000  # characters of a failed program's output that are worth showing


def failed(command: Sequence[str], code: int | None, output: str) -> LabError:
    """The error for a program that did not do its work."""
    tail = output.strip()[-ERROR_TAIL:]
    return LabError("command-failed", f"{' '.join(command[:6])} failed", observed=f"exit {code}: {tail}")


def run(command: Sequence[str], *, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        LabError: command-failed, with the end of what it printed.
    """
    environment = None if env is None else {**os.environ, **env}
    try:
        done = subprocess.run(
            list(command), input=stdin, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise failed(command, None, f"no end within {LIMIT_S:g} s") from None
    if done.returncode:
        raise failed(command, done.returncode, done.stderr + done.stdout)
    return done.stdout


async def run_async(*command: str, stdin: str | None = None) -> str:
    """Like :func:`run`, without blocking the event loop."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate(stdin.encode() if stdin is not None else None)
    except TimeoutError:
        process.kill()
        raise failed(command, None, f"no end within {LIMIT_S:g} s") from None
    if process.returncode:
        raise failed(command, process.returncode, err.decode(errors="replace") + out.decode(errors="replace"))
    return out.decode(errors="replace")
