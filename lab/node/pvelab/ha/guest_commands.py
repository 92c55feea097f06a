"""What an LRM does with a guest of its node, as a task of its own process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pvelab.guests import migration, power, state
from pvelab.guests.registry import Guest, guests
from pvelab.ha.model import CommandResult
from pvelab.machine import node_name
from pvelab.tasks import ForegroundRunner

if TYPE_CHECKING:
    from pvelab.tasks import Log, Work

_USER = "root@pam"


class ForkedWorker:
    """A command in a process of its own."""

    def __init__(self, sid: str, command: str, target: str | None) -> None:
        self._pid = os.fork()
        if not self._pid:
            code = int(CommandResult.ERROR)
            try:
                code = int(execute(sid, command, target))
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """The command's result, None while it runs."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


class FinishedWorker:
    """A command that needed no work."""

    def poll(self) -> int | None:
        """Always done."""
        return int(CommandResult.SUCCESS)


def begin(sid: str, command: str, target: str | None) -> ForkedWorker | FinishedWorker:
    """Start a command; what is already as wanted needs no process."""
    if command == "error":
        _log(
            f"service {sid} is in an error state and needs manual intervention. "
            "Look up 'ERROR RECOVERY' in the documentation."
        )
        return FinishedWorker()
    guest = _find(sid)
    if guest is not None and guest.node == node_name() and _is_as_wanted(guest, command):
        return FinishedWorker()
    return ForkedWorker(sid, command, target)


def _is_as_wanted(guest: Guest, command: str) -> bool:
    if command == "started":
        return state.is_running(guest)
    return command in ("stopped", "request_stop") and not state.is_running(guest)


def _find(sid: str) -> Guest | None:
    kind, _, number = sid.partition(":")
    guest = guests().get(int(number)) if number.isdigit() else None
    return guest if guest is not None and guest.ha_sid == f"{kind}:{number}" else None


def execute(sid: str, command: str, target: str | None) -> CommandResult:
    """Run a command on a guest to its end."""
    guest = _find(sid)
    if guest is None:
        return CommandResult.UNKNOWN_SERVICE
    if guest.node != node_name():
        _log(f"service '{sid}' not on this node")
        return CommandResult.WRONG_NODE
    match command:
        case "started":
            return _start(guest)
        case "stopped" | "request_stop":
            return _stop(guest)
        case "migrate" | "relocate" if target:
            return _move(guest, target, online=command == "migrate" and guest.kind == "qemu")
    return CommandResult.UNKNOWN_COMMAND


def _log(message: str) -> None:
    """Into the journal of the LRM, whose child this process is."""
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def _start(guest: Guest) -> CommandResult:
    _log(f"starting service {guest.ha_sid}")
    result = _run("start", guest, lambda log: power.start(guest, log))
    succeeded = result is CommandResult.SUCCESS
    _log(f"service status {guest.ha_sid} started" if succeeded else f"unable to start service {guest.ha_sid}")
    return result


def _stop(guest: Guest, reason: str = "") -> CommandResult:
    if not state.is_running(guest):
        return CommandResult.SUCCESS

    def work(log: Log) -> None:  # noqa: ARG001 - a task's work
        power.stop(guest)

    _log(f"stopping service {guest.ha_sid}{reason}")
    result = _run("shutdown", guest, work)
    if result is CommandResult.SUCCESS:
        _log(f"service status {guest.ha_sid} stopped")
    else:
        _log(f"unable to stop stop service {guest.ha_sid} (still running)")
    return result


def _move(guest: Guest, target: str, *, online: bool) -> CommandResult:
    """A container, or a guest that is to be relocated, is stopped first; the CRM has it started over there."""
    if not online:
        stopped = _stop(guest, " (relocate)")
        if stopped is not CommandResult.SUCCESS:
            return stopped
    moved = _run("migrate", guest, migration.work(guest, target))
    if moved is not CommandResult.SUCCESS:
        _log(f"service {guest.ha_sid} not moved (migration error)")
    return moved


def _run(verb: str, guest: Guest, work: Work) -> CommandResult:
    runner = ForegroundRunner()
    runner.start(f"{guest.tasks}{verb}", str(guest.vmid), _USER, work)
    return CommandResult.SUCCESS if runner.last_end == "OK" else CommandResult.ERROR
