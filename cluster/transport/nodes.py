"""Running the steps of the on-node package on machines, from the control machine."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.errors import AdminError
from onnode.contract.documents import document
from onnode.errors import StepError
from onnode.system.machine import bounded

if TYPE_CHECKING:
    from cluster.transport.ssh import Completed, Connection

PACKAGE = "/var/lib/nested-pve-ha/onnode"
_ERROR = re.compile(r"^error\[(?P<code>[a-z0-9-]+)\]: ", re.MULTILINE)


class NodeStepError(StepError):
    """A step's own error, passed on word for word, with the machine it happened on."""

    def __init__(self, code: str, machine: str, text: str) -> None:
        super().__init__(code, text, fix=text)
        self.machine = machine
        self.text = text

    def render(self) -> str:
        """The step's own words, and where it spoke."""
        return f"{self.text}\n  on: {self.machine}"


@dataclass(frozen=True)
class StepResult:
    """What a step reports in its last line."""

    changed: bool
    facts: dict[str, Any]


async def run_step(
    connection: Connection, step: str, desired: object = None, *, timeout_s: float, quiet: bool = False
) -> StepResult:
    """Run a step there, showing its progress on stderr under the machine's name.

    Args:
        connection: the machine.
        step: its name.
        desired: its dataclass of `onnode.contract`, None for steps without input.
        timeout_s: bound for the whole step; steps bound themselves too, and say more when they do.
        quiet: show no progress, for steps that only look.

    Raises:
        NodeStepError: the step ended with an error of its own.
        AdminError: `step-broken` when it ended without saying why, and those of :meth:`Connection.run`.
    """
    completed = await connection.run(
        f"python3 {PACKAGE} {step}",
        stdin="" if desired is None else json.dumps(document(desired)),
        timeout_s=timeout_s,
        on_stderr=None if quiet else lambda line: show(connection.machine.name, line),
    )
    return result_of(connection.machine.name, step, completed)


def result_of(machine: str, step: str, completed: Completed) -> StepResult:
    """What a step that has ended reports.

    Raises:
        NodeStepError, AdminError: as :func:`run_step`.
    """
    if completed.exit_code != 0:
        raise _failure(machine, step, completed)
    return _result(machine, step, completed)


def show(machine: str, line: str) -> None:
    """A step's progress, under the machine's name."""
    if line and not line.startswith(
        ("error[", "  ")
    ):  # the error comes once, at the end, from whoever asked for the step
        sys.stderr.write(bounded(f"{machine}: {line}") + "\n")
        sys.stderr.flush()


def _failure(machine: str, step: str, completed: Completed) -> StepError:
    if found := _ERROR.search(completed.stderr):
        return NodeStepError(found["code"], machine, completed.stderr[found.start() :].strip())
    return _broken(machine, step, completed, f"exit code {completed.exit_code}")


def _result(machine: str, step: str, completed: Completed) -> StepResult:
    lines = completed.stdout.strip().splitlines()
    try:
        line = json.loads(lines[-1])
        return StepResult(line["changed"], line["facts"])
    except (IndexError, ValueError, KeyError, TypeError):
        raise _broken(machine, step, completed, "no result line") from None


def _broken(machine: str, step: str, completed: Completed, how: str) -> AdminError:
    said = (completed.stderr.strip() or completed.stdout.strip() or "nothing").splitlines()
    return AdminError(
        "step-broken",
        f"step {step} on {machine} ended without a result",
        observed=f"{how}; last line of its output: {said[-1]}",
        expected="one line of JSON",
        fix=f"on {machine}: python3 {PACKAGE} {step}; if the package is missing there, `make up` puts it back",
    )
