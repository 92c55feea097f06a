"""One step at a time on a machine: an orphaned step of a killed run may still be going."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, TextIO

from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnode.system.machine import ThisMachine

DIRECTORY = "/run/nested-pve-ha"  # root's own: in /run/lock anybody could put a link in a lock's place
NAME = "machine"
POLL_S = 0.5


@contextlib.contextmanager
def hold(
    machine: ThisMachine, step: str, *, wait_s: float, shared: bool = False, scope: str | None = None
) -> Iterator[None]:
    """Hold the machine's lock; with a scope, hold that one exclusively as well.

    Raises:
        StepError: machine-busy, naming the holder's step and process; lock-unsafe.
    """
    with contextlib.ExitStack() as held:
        deadline = machine.monotonic() + wait_s
        whole = held.enter_context(_opened(machine, NAME))
        _take(machine, whole, step, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, deadline)
        if scope is not None:
            _take(machine, held.enter_context(_opened(machine, f"{NAME}-{scope}")), step, fcntl.LOCK_EX, deadline)
        yield


@contextlib.contextmanager
def hold_scope(machine: ThisMachine, step: str, *, wait_s: float, scope: str) -> Iterator[None]:
    """Hold a scope's lock alone: the step neither waits for others nor keeps them waiting, but for its own kind.

    Raises:
        StepError: machine-busy, lock-unsafe.
    """
    with _opened(machine, f"{NAME}-{scope}") as stream:
        _take(machine, stream, step, fcntl.LOCK_EX, machine.monotonic() + wait_s)
        yield


def holder(machine: ThisMachine) -> str | None:
    """Who holds the machine's lock at this moment; None if nobody does."""
    if not machine.exists(f"{DIRECTORY}/{NAME}.lock"):
        return None
    with _opened(machine, NAME) as stream:
        return None if _locked(stream, fcntl.LOCK_EX) else _named(stream)


def _take(machine: ThisMachine, stream: TextIO, step: str, kind: int, deadline: float) -> None:
    waiting = False
    while not _locked(stream, kind):
        if machine.monotonic() >= deadline:
            raise StepError(
                "machine-busy",
                "another step is still at work on this machine",
                observed=_named(stream),
                expected=f"no other step while `{step}` runs",
            )
        if not waiting:
            machine.note(f"waiting for {_named(stream)}")
            waiting = True
        machine.sleep(POLL_S)
    stream.seek(0)
    stream.truncate()
    stream.write(json.dumps({"step": step, "pid": os.getpid()}))
    stream.flush()


def _opened(machine: ThisMachine, name: str) -> TextIO:
    """Open a lock's file, following no link."""
    directory = machine.path(DIRECTORY)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    try:
        within = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(within, 0o700)
            file = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=within)
        finally:
            os.close(within)
    except OSError as error:
        raise StepError(
            "lock-unsafe",
            f"the lock in {DIRECTORY} cannot be opened",
            observed=f"{name}.lock: {error.strerror}",
            expected="a directory of root's own, with plain files in it",
        ) from None
    return os.fdopen(file, "r+")


def _locked(stream: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _named(stream: TextIO) -> str:
    stream.seek(0)
    try:
        found = json.load(stream)
        return f"step {found['step']} (process {found['pid']})"
    except (ValueError, KeyError, TypeError):
        return "a step that has not written its name yet"
