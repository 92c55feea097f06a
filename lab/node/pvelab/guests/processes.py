"""The running guests of a node: each a process that holds its disks open and carries its number in its command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.machine import scaled
from pvelab.paths import ROOT, path
from pvelab.tasks import process_start

if TYPE_CHECKING:
    from pvelab.guests.registry import Guest

_SLICE = {"qemu": "qemu", "lxc": "lxc"}
_UNIT = {"qemu": "{vmid}", "lxc": "pve-container-{vmid}"}
_RUN = {"qemu": "/run/qemu-server", "lxc": "/run/lxc"}
STOP_S = 10.0
STARTED_S = 10.0


@dataclass(frozen=True)
class Running:
    """A running guest.

    Attributes:
        pid: of its process on this node.
        ticks: when that started, in clock ticks since the node's boot.
        since: the same in seconds since 1970.
        booted: since when the guest itself is up, in seconds since 1970: a live migration does not change it.
    """

    pid: int
    ticks: int
    since: float
    booted: float


def _state_file(guest: Guest) -> Path:
    return path(_RUN[guest.kind]) / f"{guest.vmid}.state"


def find(guest: Guest) -> Running | None:
    """The guest's process, or None when it is not running on this node."""
    try:
        running = Running(**json.loads(_state_file(guest).read_text()))
    except FileNotFoundError:
        return None
    return running if process_start(running.pid) == running.ticks else None


def _in_unit(guest: Guest, command: list[str]) -> list[str]:
    """Wrap a command so that it runs in a unit of its own, where systemd runs at all."""
    if str(ROOT) != "/" or not Path("/run/systemd/system").exists():
        return command
    unit = _UNIT[guest.kind].format(vmid=guest.vmid)
    scope = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={unit}", f"--slice={_SLICE[guest.kind]}"]
    return [*scope, "--", *command]


def start(guest: Guest, title: str, disks: list[Path], booted: float | None = None) -> Running:
    """Start the guest's process.

    Args:
        guest: which.
        title: its command line.
        disks: the files that it keeps open.
        booted: of a guest that goes on here: since when it is up. The process finds it in its environment, as GUEST_BOOTED.
    """
    began = time.time()
    booted = booted or began
    # sleep is all a guest does here; the name it shows is what `ps` and the administrator look for.
    command = _in_unit(guest, ["/bin/bash", "-c", 'exec -a "$0" sleep infinity', title])
    with ExitStack() as stack:
        handles = [stack.enter_context(disk.open("rb+")) for disk in disks]
        process = subprocess.Popen(
            command,
            pass_fds=[handle.fileno() for handle in handles],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "GUEST_BOOTED": str(booted)},
        )
    _wait_started(process, title)
    running = Running(process.pid, process_start(process.pid) or 0, began, booted)
    file = _state_file(guest)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(running)))
    path(f"{_RUN[guest.kind]}/{guest.vmid}.pid").write_text(f"{running.pid}\n")
    return running


def _wait_started(process: subprocess.Popen[bytes], title: str) -> None:
    """Wait until the process shows its name: before, it is still the tool that makes its unit."""
    deadline = time.monotonic() + STARTED_S
    shown = Path(f"/proc/{process.pid}/cmdline")
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise die(f"start failed: process exited with code {process.returncode}")
        if shown.read_bytes().startswith(title.encode()):
            return
        time.sleep(0.005)
    raise die("start failed: got timeout")


def _reap(pid: int) -> None:
    """Collect the process if it is a child of ours, so that it does not linger as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def stop(guest: Guest) -> None:
    """End the guest's process; one that does not run is fine."""
    running = find(guest)
    if running is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, number)
        if _wait_gone(guest, running.pid):
            break
    _state_file(guest).unlink(missing_ok=True)
    path(f"{_RUN[guest.kind]}/{guest.vmid}.pid").unlink(missing_ok=True)


def _wait_gone(guest: Guest, pid: int) -> bool:
    deadline = time.monotonic() + scaled(STOP_S)
    while find(guest) is not None:
        _reap(pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
