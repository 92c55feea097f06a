"""Running the programs that Proxmox' cluster code runs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pvelab.errors import die

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pvelab.tasks import Log


def run(command: Sequence[str], failure: str | None = None, log: Log | None = None, stdin: str = "") -> str:
    """Run a program to its end and give back its standard output; its lines go to the log.

    Args:
        command: program and arguments.
        failure: Proxmox' words for what did not work, put before the exit code.
        log: where the output goes.
        stdin: what the program reads.

    Raises:
        PveError: it is missing or failed; without a log its output is in the message.
    """
    what = failure or f"command '{' '.join(command)}' failed"
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise die(f"{what}: {error.strerror}") from error
    output = done.stdout + done.stderr
    if log:
        for line in output.splitlines():
            log(line)
    if done.returncode:
        details = f"{output.strip()}\n" if output and not log and not failure else ""
        raise die(f"{details}{what}: exit code {done.returncode}")
    return done.stdout


def succeeds(command: Sequence[str]) -> bool:
    """Whether a program is there and exits with 0; its output is of no interest."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
