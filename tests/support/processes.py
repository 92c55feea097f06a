"""Waiting for what other processes do, and ending them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def eventually(condition: Callable[[], bool], limit_s: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def end_all(ancestor: int) -> None:
    """Kill a process and all below it, none of which sees the others go, as when a machine loses its power."""
    stopped: set[int] = set()
    while found := {ancestor, *below(ancestor)} - stopped:
        _signal(found, signal.SIGSTOP)
        stopped |= found
    _signal(stopped, signal.SIGKILL)
    assert eventually(lambda: not stopped & _alive(), 10)


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def below(ancestor: int) -> set[int]:
    """All processes below one."""
    parents = _parents()
    found = {ancestor}
    while more := {pid for pid, (parent, _) in parents.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


def _alive() -> set[int]:
    return {pid for pid, (_, state) in _parents().items() if state != "Z"}


def _parents() -> dict[int, tuple[int, str]]:
    """Of each process its parent and its state."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            found[int(stat.parent.name)] = (int(parent), state)
    return found
