"""The members whose corosync has yet to be restarted, noted in the cluster's file system, so that a later run goes on.

Corosync does not tell by which settings it runs: its map shows those of the file after each reload, also those that it did not take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.system import marks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnode.system.machine import ThisMachine

KIND, NAME = "corosync", "restart"


def wanted(machine: ThisMachine) -> list[str]:
    """Their names."""
    return (marks.owner(machine, KIND, NAME) or "").split()


def note(machine: ThisMachine, names: Iterable[str]) -> None:
    """Note these, and no others.

    Raises:
        StepError: mark-failed.
    """
    if names := sorted(set(names)):
        marks.put(machine, KIND, NAME, " ".join(names))
    else:
        marks.take_away(machine, KIND, NAME)
