"""The engine's lock in a file backend: cleared only when its process is known to be dead."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import AdminError

if TYPE_CHECKING:
    from cli.backend import run_record

PROJECT = "nested-pve-ha"
MARGIN_S = 2.0  # process start times have a resolution of a clock tick
ENGINE = "pulumi"
FIRST_PID_NAMESPACE = "pid:[4026531836]"  # the kernel's PROC_PID_INIT_INO: all processes are seen from there


@dataclass(frozen=True)
class Lock:
    """Who holds the stack, as the engine wrote it down."""

    path: Path
    pid: int
    hostname: str
    taken_at: float  # seconds since 1970


def find(backend: Path, stack: str) -> list[Lock]:
    """The locks of a stack in a file backend (`.pulumi` directory)."""
    return [lock for lock in map(_lock, _paths(backend, stack)) if lock]


def clear_damaged(backend: Path, stack: str, record: run_record.Record | None) -> list[Path]:
    """Remove locks that are empty or cut off, and return them. The engine writes locks whole, so a power failure cut them off.

    Raises:
        AdminError: stack-locked, while a run of ours lives.
    """
    damaged = [path for path in _paths(backend, stack) if path.is_file() and _lock(path) is None]
    if damaged and record and record.lives:
        raise AdminError(
            "stack-locked",
            "another run holds this stack",
            observed=f"process {record.pid}, and a damaged lock: {damaged[0]}",
            expected="no other run on this stack",
            fix="wait until it has ended",
        )
    for path in damaged:
        path.unlink(missing_ok=True)
    return damaged


def directory(backend: Path, stack: str) -> Path:
    """Where the engine keeps the locks of a stack."""
    return backend / "locks" / "organization" / PROJECT / stack


def _paths(backend: Path, stack: str) -> list[Path]:
    return sorted(directory(backend, stack).glob("*.json"))


def _lock(path: Path) -> Lock | None:
    """The content of a lock file; None when it is damaged, or was released meanwhile."""
    try:
        found = json.loads(path.read_text())
        taken_at = datetime.fromisoformat(found["timestamp"]).timestamp()
        return Lock(path, int(found["pid"]), found["hostname"], taken_at)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def clear_stale(
    locks: list[Lock],
    record: run_record.Record | None = None,
    hostname: str | None = None,
    *,
    all_are_seen: bool | None = None,
) -> list[Lock]:
    """Remove the locks of dead processes of this host, and return them.

    Args:
        locks: the stack's locks.
        record: the last run of this program on the stack.
        hostname: of this host.
        all_are_seen: whether every process of this machine is seen from here; found out by default.

    Raises:
        AdminError: stack-locked, when a lock is another host's, its process lives, or cannot be seen from here.
    """
    hostname = hostname or socket.gethostname()
    for lock in locks:
        doubt = _doubt(lock, record, hostname, _all_are_seen() if all_are_seen is None else all_are_seen)
        if doubt:
            raise AdminError(
                "stack-locked",
                "another run holds this stack",
                observed=f"process {lock.pid} on {lock.hostname}, since {datetime.fromtimestamp(lock.taken_at).astimezone():%H:%M:%S}",
                expected="no other run on this stack",
                fix=doubt,
            )
    for lock in locks:
        lock.path.unlink(missing_ok=True)
    return locks


def _doubt(lock: Lock, record: run_record.Record | None, hostname: str, all_are_seen: bool) -> str:  # noqa: FBT001
    """What to do about a lock whose process is not known to be dead; empty when it is."""
    cancel = cancelling(lock.path.parent.name)
    elsewhere = f"make sure on {lock.hostname} that it has ended, then: {cancel}"
    if lock.hostname != hostname:
        return elsewhere
    if record and record.pid == lock.pid and lock.taken_at >= record.began_at - MARGIN_S:
        if not record.is_of_this_machine:
            return f"another machine is named {hostname}, too: {elsewhere}"
        return "wait until it has ended" if record.lives else ""
    if _alive(lock):
        return "wait until it has ended"
    if not all_are_seen:
        return f"that process cannot be seen from inside the lab or a container: make sure that it has ended, then: {cancel}"
    return ""


def cancelling(stack: str) -> str:
    """The command that takes away the locks of a stack, and where it works."""
    return f"`pulumi cancel --stack {stack}` in `make shell STACK={stack}`"


def _alive(lock: Lock) -> bool:
    """Whether the process lives, here or in a namespace below. A process that started after the lock was taken is another one."""
    started = process_started_at(lock.pid)
    if started is None:
        return _exists(lock.pid) or _below(lock.pid)
    return started <= lock.taken_at + MARGIN_S or _is_engine(lock.pid) or _below(lock.pid)


def _exists(pid: int) -> bool:
    """Whether there is such a process; works also where /proc does not show the processes of others."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_engine(pid: int) -> bool:
    """Whether it is an engine, whatever its start time: the clock may have been set since."""
    return _status(Path(f"/proc/{pid}/status")).get("Name", "") == ENGINE


def _below(pid: int) -> bool:
    """Whether an engine has this number in a PID namespace below this one: in the lab, or in a container."""
    for file in Path("/proc").glob("[0-9]*/status"):
        status = _status(file)
        if status.get("Name") == ENGINE and str(pid) in status.get("NSpid", "").split()[1:]:
            return True
    return False


def _status(file: Path) -> dict[str, str]:
    try:
        pairs = (line.partition(":") for line in file.read_text().splitlines())
        return {name: value.strip() for name, _, value in pairs}
    except OSError:
        return {}


def _all_are_seen() -> bool:
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == FIRST_PID_NAMESPACE
    except OSError:
        return False


def process_started_at(pid: int) -> float | None:
    """When a process started, in seconds since 1970; None if there is none. proc(5): field 22 of stat, in ticks."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(boot.split()[1]) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
