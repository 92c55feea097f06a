"""qm: changes of VMs on this machine. A VM that Proxmox VE has locked is refused by name, with what removes the lock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onnode.cluster import membership
from onnode.errors import StepError

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LOCKED = re.compile(r"(?:VM|CT) is locked \(([a-z-]+)\)")  # as Proxmox VE refuses it: "VM is locked (migrate)"
# What is left of these when they are cut off is a whole VM. What was being made or rolled back may be half of one.
HARMLESS = ("backup", "migrate", "snapshot", "snapshot-delete")
SUSPENDED = "suspended"  # no task: the VM's memory lies on a disk, and would be lost with the lock
TASKS = "/var/log/pve/tasks/active"
# PVE::INotify: UPID, whether it is saved, and of one that has ended, when and how. PVE::Tools: what a UPID is made of.
TASK = re.compile(
    r"^(?P<upid>UPID:[^:\s]+:(?P<pid>[0-9A-Fa-f]{8}):(?P<started>[0-9A-Fa-f]{8,9}):[0-9A-Fa-f]{8}:(?P<type>[^:\s]+):(?P<id>[^:\s]*):\S*) [01]$",
    re.MULTILINE,
)
BACKUP = "vzdump"  # one task for many guests


def change(machine: ThisMachine, command: str, vmid: int, *arguments: str, timeout_s: float) -> None:
    """Call `qm COMMAND VMID`, which must succeed.

    Raises:
        StepError: guest-locked, and those of :meth:`ThisMachine.check`.
    """
    try:
        machine.check(["qm", command, str(vmid), *arguments], timeout_s=timeout_s)
    except StepError as error:
        found = LOCKED.search(error.observed)
        if found is None:
            raise
        raise _locked(machine, command, vmid, found[1]) from None


def _locked(machine: ThisMachine, command: str, vmid: int, lock: str) -> StepError:
    host, tasks = membership.hostname(machine), machine.read(TASKS)
    task = running(machine, tasks or "", vmid)
    again = "then run the same command again"
    if task is not None:
        seen, fix = f"task {task} runs", f"wait until that task has ended, {again}"
    elif lock == SUSPENDED:
        seen, fix = "it is suspended to a disk", f"on {host}: qm start {vmid}, which brings it back as it was; {again}"
    elif tasks is not None and lock in HARMLESS:
        seen, fix = f"no task on {host} works on it", f"on {host}: qm unlock {vmid}; {again}"
    elif tasks is not None:
        seen = f"no task on {host} works on it, and the last one may have left the VM incomplete"
        look = (
            f"check how its last task ended (Tasks of VM {vmid} in the web interface), and whether the VM is complete"
        )
        fix = f"{look}; keep the lock until that is known; {again}"
    else:
        seen, fix = f"the running tasks are not known: no {TASKS}", ""
    return StepError(
        "guest-locked",
        f"VM {vmid} is locked, so `qm {command}` was refused",
        observed=f"VM is locked ({lock}); {seen}",
        expected="an unlocked VM",
        fix=fix,
    )


def running(machine: ThisMachine, tasks: str, vmid: int) -> str | None:
    """The task that works at a guest, or may: a backup does not name those that it goes through."""
    return next(
        (
            found["upid"]
            for found in TASK.finditer(tasks)
            if (found["id"] == str(vmid) or found["type"] == BACKUP)
            and _lives(machine, int(found["pid"], 16), int(found["started"], 16))
        ),
        None,
    )


def _lives(machine: ThisMachine, pid: int, started: int) -> bool:
    """Whether that very process is there: the list is written when tasks begin, and numbers are used again."""
    fields = (machine.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return fields[19:20] == [str(started)]  # proc(5): the 22nd is when it began; the name is the second
