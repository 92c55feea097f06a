"""Whether a guest runs, and starting and ending it: a process on a node, a machine of the lab on the outer host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pvelab import machine
from pvelab.errors import die
from pvelab.guests import drives, processes
from pvelab.storage import layout

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.guests.registry import Guest


def _is_lab_machine(guest: Guest) -> bool:
    """On the outer host, a virtual machine is a machine of the lab."""
    return guest.kind == "qemu" and machine.is_outer_host()


def _ask(operation: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    try:
        return machine.ask_hypervisor(operation, **arguments)
    except machine.HypervisorError as error:
        raise die(f"start failed: {error}" if operation == "vm.start" else str(error)) from error


def is_running(guest: Guest) -> bool:
    """Whether the guest runs on this node."""
    if _is_lab_machine(guest):
        return bool(_ask("vm.status", vmid=guest.vmid).get("running"))
    return processes.find(guest) is not None


def _volume_files(options: dict[str, str]) -> dict[str, str]:
    """Where the lab finds the volumes of a machine that it runs."""
    volumes = [drive.volume for drive in drives.drives("qemu", options) if drive.has_volume]
    return {volume: str(layout.parse(volume).file) for volume in volumes}


def start(guest: Guest, title: str, disks: list[Path], options: dict[str, str], *, booted: float | None = None) -> None:
    """Bring the guest up; `booted` is since when one that goes on here is up."""
    if _is_lab_machine(guest):
        _ask("vm.start", vmid=guest.vmid, config=options, volumes=_volume_files(options))
    else:
        processes.start(guest, title, disks, booted)


def plug(guest: Guest, options: dict[str, str]) -> None:
    """Let a running guest have the network cards that are configured now."""
    if _is_lab_machine(guest):
        _ask("vm.plug", vmid=guest.vmid, config=options)


def booted(guest: Guest) -> float | None:
    """Since when a guest of this node is up, as it sees that itself, in seconds since 1970; None if it does not run."""
    found = processes.find(guest)
    return found.booted if found else None


def stop(guest: Guest) -> None:
    """End the guest."""
    if _is_lab_machine(guest):
        _ask("vm.stop", vmid=guest.vmid)
    else:
        processes.stop(guest)


def reset(guest: Guest) -> None:
    """Reset the guest as the button does; it keeps its process."""
    if _is_lab_machine(guest):
        _ask("vm.reset", vmid=guest.vmid)


def destroy(guest: Guest) -> None:
    """Let go of what the lab keeps for a machine."""
    if _is_lab_machine(guest):
        _ask("vm.destroy", vmid=guest.vmid)


def facts(guest: Guest) -> dict[str, Any]:
    """Status, process and uptime in seconds of a guest of this node."""
    if _is_lab_machine(guest):
        answer = _ask("vm.status", vmid=guest.vmid)
        running = bool(answer.get("running"))
        return {"status": "running" if running else "stopped", "uptime": int(answer.get("uptime", 1 if running else 0))}
    found = processes.find(guest)
    if found is None:
        return {"status": "stopped", "uptime": 0}
    return {"status": "running", "uptime": max(1, int(time.time() - found.since)), "pid": found.pid}
