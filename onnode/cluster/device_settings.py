"""What others wrote into the QDevice's section of corosync.conf, kept in the cluster's file system while the section is away.

The section goes before a node joins or leaves, and comes back in another run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.system import marks

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

KIND, NAME = "qdevice", "settings"


def kept(machine: ThisMachine) -> str:
    """The section without this program's own values, as text; empty when nothing is kept."""
    return marks.owner(machine, KIND, NAME) or ""


def keep(machine: ThisMachine, text: str) -> None:
    """Keep this, and nothing else.

    Raises:
        StepError: mark-failed.
    """
    if text:
        marks.put(machine, KIND, NAME, text)
    else:
        marks.take_away(machine, KIND, NAME)
