"""Which run of this program holds a stack whose state is kept in files; readable from other PID namespaces and hosts.

The engine writes down its process number and its host's name. Both are useless where that process cannot be seen: in the
lab, in a container, on another machine of the same name. So a run also holds a kernel lock on a file.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDING = ("up", "destroy", "refresh")  # the operations for which the engine locks the stack


@dataclass(frozen=True)
class Record:
    """A run of this program.

    Attributes:
        pid: of its engine, in the engine's own PID namespace.
        began_at: seconds since 1970.
        machine: on which it runs.
        boot: since when that machine is up.
        lives: whether it holds its file.
    """

    pid: int
    began_at: float
    machine: str
    boot: str
    lives: bool

    @property
    def is_of_this_machine(self) -> bool:
        """Whether the kernel lock can be judged here."""
        return self.boot == _boot() or (self.machine != "" and self.machine == _machine())


@contextmanager
def held(backend: Path, stack: str) -> Iterator[int]:
    """Hold the stack's file; yields a descriptor, to which whoever starts the engine writes its process number.

    It is -1, and nothing is to be written, if the file cannot be held, or another run holds it: the engine's own lock then
    refuses this run.
    """
    file = _file(backend, stack)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        holds = False
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holds = True
            content = json.dumps({"at": time.time(), "machine": _machine(), "boot": _boot()})
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{content}\n".encode())
        yield descriptor if holds else -1
    finally:
        os.close(descriptor)


def read(backend: Path, stack: str) -> Record | None:
    """The last run of this program on a stack."""
    try:
        with _file(backend, stack).open("r+") as file:
            described, number = file.read().splitlines()
            content = json.loads(described)
            return Record(int(number), content["at"], content["machine"], content["boot"], _is_held(file.fileno()))
    except (OSError, ValueError, KeyError):
        return None


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _file(backend: Path, stack: str) -> Path:
    # Outside of the engine's directory: it takes every file beside its locks for a lock.
    return backend.parent / ".runs" / stack


def _boot() -> str:
    return _line("/proc/sys/kernel/random/boot_id")


def _machine() -> str:
    return _line("/etc/machine-id")


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
