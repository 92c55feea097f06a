"""Runs a command, and leaves none of its processes when it has ended, or when the parent of this process has.

    python supervisor.py PARENT DESCRIPTOR COMMAND…

It writes the command's number to the descriptor, and keeps that open for as long as it lives; -1 for none.

The engine starts plugins, a language host, the program and local commands; when it is killed they would go on. Everything
that is orphaned below this process becomes its child (prctl's subreaper), and is ended with the command. It is started
before every run of the engine: a file of its own, with the standard library only, so that it costs next to nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHANED = signal.SIGUSR1
ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 2.0  # for what ends by itself when the engine has ended in order
END_S = 5.0
POLL_S = 0.01


def adopt_orphans() -> None:
    """Become the parent of what is orphaned below this process. Only Linux can."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants(grace_s: float = 0.0) -> None:
    """End all that runs below this process, in bounded time."""
    patience, limit = time.monotonic() + grace_s, time.monotonic() + grace_s + END_S
    while time.monotonic() < limit and (found := _descendants(os.getpid())):
        if time.monotonic() >= patience:
            for pid in found:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(POLL_S)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z" or int(parent) == ancestor:
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = list(children.get(ancestor, []))
    for pid in found:
        found += children.get(pid, [])  # grows while it is walked
    return found


def _reap(pid: int = -1) -> dict[int, int]:
    """The processes that have ended, each with its wait status."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while (found := os.waitpid(pid, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    return ended


def _start(command: list[str]) -> int:
    def at_birth() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    return subprocess.Popen(command, preexec_fn=at_birth).pid  # noqa: PLW1509 - there are no threads here


def _watch(engine: int) -> int | None:
    """Wait for the command's end, passing on what asks for it; how it ended, None when the parent was first."""
    while True:
        number = signal.sigwait({signal.SIGCHLD, ORPHANED, *ASKED_TO_END})
        if number == ORPHANED:
            return None
        if number in ASKED_TO_END:
            with suppress(ProcessLookupError):
                os.kill(engine, signal.SIGINT)  # which the engine takes as the wish to end in order
        elif engine in (ended := _reap()):
            return ended[engine]


def main(parent: int, record: int, command: list[str]) -> int:
    """Run the command; its exit code. A command that was killed kills this process in the same way."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, ORPHANED, *ASKED_TO_END})
    _prctl(PR_SET_PDEATHSIG, ORPHANED)
    adopt_orphans()
    if os.getppid() != parent:
        return 1
    engine = _start(command)
    if record >= 0:
        os.write(record, f"{engine}\n".encode())
    status = _watch(engine)
    in_order = status is not None and os.WIFEXITED(status)
    end_descendants(GRACE_S if in_order else 0.0)
    if status is None:
        return 1
    if not in_order:
        _die_of(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def _die_of(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
