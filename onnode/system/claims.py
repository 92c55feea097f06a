"""Marks of files that have no first line for one, and of directories: a small file beside or in them names their stack.

It is written before what it marks: a run that is killed in between knows the rest again.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from onnode.system import ours

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

NAME = ".nested-pve-ha"


def of_file(path: str) -> str:
    """The mark of a file."""
    directory, name = posixpath.split(path)
    return f"{directory}/.{name}{NAME}"


def of_directory(path: str) -> str:
    """The mark of a directory."""
    return f"{path}/{NAME}"


def owner(text: str | None) -> str | None:
    """The stack that a mark names; None for no mark, and for one that we did not write."""
    found = re.match(rf"{ours.MARK} for stack (\S+)\.\n", text or "")
    return found[1] if found else None


def text(stack: str, more: str = "") -> str:
    """A mark, and what else is to be remembered of what it marks: a line."""
    return f"{ours.first_line(stack)}\n{f'{more}{chr(10)}' if more else ''}"


def claimed(machine: ThisMachine, mark: str) -> str | None:
    """The stack that has that mark."""
    return owner(machine.read(mark))


def claim(machine: ThisMachine, mark: str, stack: str) -> None:
    """Mark what is about to be made."""
    machine.write(mark, text(stack))
