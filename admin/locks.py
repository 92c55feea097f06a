"""The engine's lock in a file backend: cleared only when its process is dead on this host."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from admin.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = "nested-pve-ha"
MARGIN_S = 2.0  # process start times have a resolution of a clock tick


@dataclass(frozen=True)
class Lock:
    """Who holds the stack, as the engine wrote it down."""

    path: Path
    pid: int
    hostname: str
    taken_at: float  # seconds since 1970


def find(backend: Path, stack: str) -> list[Lock]:
    """The locks of a stack in a file backend (`.pulumi` directory)."""
    return list(_read(sorted((backend / "locks" / "organization" / PROJECT / stack).glob("*.json"))))


def _read(paths: list[Path]) -> Iterator[Lock]:
    for path in paths:
        try:
            found = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            continue  # released meanwhile, or being written
        taken_at = datetime.fromisoformat(found["timestamp"]).timestamp()
        yield Lock(path, int(found["pid"]), found["hostname"], taken_at)


def clear_stale(
    locks: list[Lock], hostname: str | None = None, started_at: Callable[[int], float | None] | None = None
) -> list[Lock]:
    """Remove the locks of dead processes of this host; those removed.

    Args:
        locks: the stack's locks.
        hostname: of this host.
        started_at: when a process with that number started (seconds since 1970), None if there is none.

    Raises:
        AdminError: stack-locked, when a lock is somebody else's or its process lives.
    """
    hostname, started_at = hostname or socket.gethostname(), started_at or process_started_at
    for lock in locks:
        if lock.hostname != hostname or _alive(lock, started_at):
            raise AdminError(
                "stack-locked",
                "another run holds this stack",
                observed=f"process {lock.pid} on {lock.hostname}, since {datetime.fromtimestamp(lock.taken_at).astimezone():%H:%M:%S}",
                expected="no other run on this stack",
                fix=(
                    "wait until it has ended"
                    if lock.hostname == hostname
                    else f"make sure on {lock.hostname} that it has ended, then: pulumi cancel --stack {lock.path.parent.name}"
                ),
            )
    for lock in locks:
        lock.path.unlink(missing_ok=True)
    return locks


def _alive(lock: Lock, started_at: Callable[[int], float | None]) -> bool:
    """A process with that number that started after the lock was taken is another one."""
    started = started_at(lock.pid)
    return started is not None and started <= lock.taken_at + MARGIN_S


def process_started_at(pid: int) -> float | None:
    """When a process started, in seconds since 1970; None if there is none. proc(5): field 22 of stat, in ticks."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(boot.split()[1]) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
