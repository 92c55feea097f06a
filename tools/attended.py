"""Runs a command for `make`, so that what asks make to end asks the command, and make waits until it has.

    python -I -S tools/attended.py MAKE NAME COMMAND…

MAKE is the process that is served (0: nobody's), NAME what to call this stage of its work (empty: nothing is said).

GNU make passes SIGTERM on to the command of a recipe only, which may be a shell that dies of it or, under sudo, belong
to somebody else; SIGHUP it does not pass on at all. In both cases it waits for its commands with that signal blocked:
that is seen here. So is a SIGINT that make alone got: Ctrl-C reaches everybody at the terminal. A command that is
entered through `nsenter` is asked itself, and Ctrl-C is kept from nsenter: it would die of either alone, and nobody would
wait for its command.
With the standard library only, and little of it: it is started for every command of daily work.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PR_SET_PDEATHSIG = 1
ASKING = (signal.SIGTERM, signal.SIGHUP)
ENDING = sum(1 << number - 1 for number in (*ASKING, signal.SIGINT))
POLL_S = 0.2
SOON_S = 0.02
HELD_S = 0.5
UNBLOCKED = ("env", "--default-signal=INT", "--")
INTERRUPTED = "error[run-interrupted]: the run was interrupted\n  next: run the same command again"


def run(
    command: list[str], environment: dict[str, str] | None = None, *, caller: int = 0, way: Sequence[str] = ()
) -> int:
    """Run a command to its end; its exit code, less than 0 where a signal ended it.

    Args:
        command: with its arguments.
        environment: this process's own by default.
        caller: the process number of the make that is served; 0 for none.
        way: what enters where the command is to run, as `nsenter` does: with the command as its only child, which is
            asked, and it ends with that.
    """
    return _run(command, os.environ if environment is None else environment, _Caller(caller), way)[0]


def _run(
    command: list[str], environment: Mapping[str, str], caller: _Caller, way: Sequence[str] = ()
) -> tuple[int, bool]:
    """As `run`; its exit code, and whether it was asked to end."""
    # What is ignored stays so: `nohup`.
    asking = {number for number in ASKING if signal.getsignal(number) != signal.SIG_IGN}
    # Ctrl-C reaches the command by itself, as it does everybody at the terminal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGINT, *asking})
    child = os.fork()
    if child == 0:
        if way:
            _become([*way, *UNBLOCKED, *command], environment, blocked=[signal.SIGINT])
        _become(command, environment, blocked=[])
    attending = _Attending(child, asking, caller, within=bool(way))
    status = attending.until_it_ends()
    return os.waitstatus_to_exitcode(status), attending.asked


def interrupt_once() -> None:
    """Let SIGTERM and SIGHUP interrupt this process as Ctrl-C does: once, as a closed terminal says so more than once."""

    def interrupt(_number: int, _frame: object) -> None:
        for number in asking:
            signal.signal(number, lambda _number, _frame: None)
        raise KeyboardInterrupt

    asking = [number for number in ASKING if signal.getsignal(number) != signal.SIG_IGN]  # as `nohup` leaves it
    for number in asking:
        signal.signal(number, interrupt)


def end(code: int) -> NoReturn:
    """End as a command did that was run: with its exit code, or of the same signal."""
    if code >= 0:
        sys.exit(code)
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    sys.exit(1)


def _become(command: list[str], environment: Mapping[str, str], *, blocked: list[signal.Signals]) -> NoReturn:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"error: {command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(127)


class _Attending:
    """The wait for the end of a child, passing on what asks for it."""

    def __init__(self, child: int, asking: set[signal.Signals], caller: _Caller, *, within: bool) -> None:
        self._child = child
        self._asking = asking
        self._caller = caller
        self._within = within
        self.asked = False  # to end, on whichever way

    def until_it_ends(self) -> int:
        """The child's wait status."""
        pending: list[int] = []
        while True:
            soon = pending or self._caller.may_be_asked()
            got = signal.sigtimedwait({signal.SIGCHLD, signal.SIGINT, *self._asking}, SOON_S if soon else POLL_S)
            number = self._wish(got.si_signo if got is not None else 0)
            ended, status = os.waitpid(self._child, os.WNOHANG)
            if ended:
                return status
            if number:
                pending.append(number)
            pending = [number for number in pending if not self._passed_on(number)]

    def _wish(self, got: int) -> int:
        """What the child is to be asked with, now that this process got a signal (0: none)."""
        number = got if got in self._asking else self._caller.asks_with(self._asking)
        if got == signal.SIGINT:
            self._typed()
        elif not number and self._caller.was_interrupted():
            if signal.sigtimedwait({signal.SIGINT}, SOON_S):
                self._typed()
            else:
                number = int(signal.SIGTERM)  # which nobody takes for Ctrl-C
        if number:
            self._caller = _Caller(0)  # which has asked now
            self._noted()
        return number

    def _typed(self) -> None:
        self._caller.typed()
        self._noted()

    def _noted(self) -> None:
        if not self.asked:
            _say(2, "\ninterrupted: waiting for the command to end in order")
        self.asked = True

    def _passed_on(self, number: int) -> bool:
        """Whether there was somebody to ask; nsenter takes a moment to start its child."""
        asked = _children(self._child) if self._within else [self._child]
        for pid in asked:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return bool(asked)


def _children(pid: int) -> list[int]:
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as listed:  # noqa: PTH123 - pathlib is slow to load
        return [int(child) for child in listed.read().split()]
    return []


class _Caller:
    """The make that is served."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started, _, self._caught = _status(pid) if pid else ("", 0, 0)
        self._typed = False
        self._blocked = 0
        self._since = time.monotonic()

    def asks_with(self, asking: set[signal.Signals]) -> int:
        """The signal that it got since, SIGTERM when it is gone; 0 while it wants nothing."""
        if not self._pid:
            return 0
        started, taken = self._taken()
        if started != self._started or not started:
            return int(signal.SIGTERM)
        return next((number for number in asking if taken >> number - 1 & 1), 0)

    def may_be_asked(self) -> bool:
        """Whether another look, soon, will tell: it blocks signals just now."""
        return bool(self._blocked)

    def typed(self) -> None:
        """Ctrl-C was typed, and has reached make and the command by itself."""
        self._typed = True

    def was_interrupted(self) -> bool:
        """Whether it got SIGINT, not by Ctrl-C as far as is known."""
        return bool(self._pid) and not self._typed and bool(self._taken()[1] >> signal.SIGINT - 1 & 1)

    def _taken(self) -> tuple[str, int]:
        """When it started, and the mask of signals that it got: blocked for a while, or caught no more.

        It stops to catch a signal for good. Of several commands, the first that ends lets it unblock the signal, too. For a
        moment it also blocks them all whenever it starts a command.
        """
        started, blocked, caught = _status(self._pid)
        now = time.monotonic()
        if blocked & ENDING != self._blocked:
            self._blocked, self._since = blocked & ENDING, now
        held = self._blocked if now - self._since >= HELD_S else 0
        return started, held | self._caught & ~caught


def _status(pid: int) -> tuple[str, int, int]:
    """When a process started, and the masks of signals that it blocks and catches; nothing of one that is gone. proc(5)."""
    with suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            fields = stat.read().rpartition(")")[2].split()
        return ("" if fields[0] == "Z" else fields[19]), int(fields[29]), int(fields[31])
    return "", 0, 0


def _stage(name: str, caller: int, command: list[str]) -> int:
    if not name:
        return run(command, caller=caller)
    started = time.monotonic()
    _say(1, f"\n▸ {name}")
    code, asked = _run(command, os.environ, _Caller(caller))
    took = time.monotonic() - started
    if code == 0:
        _say(1, f"✓ {name} ({took:.0f} s)")
    elif asked:
        _say(2, f"✗ {name} failed after {took:.0f} s (interrupted)\n\n{INTERRUPTED}")
    else:
        how = f"exit code {code}" if code > 0 else signal.strsignal(-code)
        _say(2, f"✗ {name} failed after {took:.0f} s ({how})")
    return code


def _say(to: int, text: str) -> None:
    """In UTF-8, whatever the caller's locale is."""
    with suppress(OSError):
        os.write(to, f"{text}\n".encode())


if __name__ == "__main__":
    end(_stage(sys.argv[2], int(sys.argv[1]), sys.argv[3:]))
