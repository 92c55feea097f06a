"""An outer host that runs Proxmox VE: its VMs by `qm`, its guests and bridges as their files have them.

A VM that Proxmox VE has locked is refused by name, with what removes the lock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnode.cluster import membership
from onnode.errors import StepError
from onnode.host.hypervisor import RunningVm, Vm
from onnode.system import interfaces_file, network, pve

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnode.system.machine import ThisMachine

PROGRAMS = ("/usr/sbin/qm", "/usr/bin/qm")  # the same one, where a distribution has merged these directories
NODES = "/etc/pve/nodes"
CD = "ide2"
DISK_ONLY = "order=scsi0"
DISK_THEN_CD = f"order=scsi0;{CD}"
VM_S = 120.0
SUSPENDED = "suspended"  # no task: the VM's memory lies on a disk, and would be lost with the lock
TASKS = "/var/log/pve/tasks/active"
# PVE::INotify: UPID, whether it is saved, and of one that has ended, when and how. PVE::Tools: what a UPID is made of.
TASK = re.compile(
    r"^(?P<upid>UPID:[^:\s]+:(?P<pid>[0-9A-Fa-f]{8}):(?P<started>[0-9A-Fa-f]{8,9}):[0-9A-Fa-f]{8}:(?P<type>[^:\s]+):(?P<id>[^:\s]*):\S*) [01]$",
    re.MULTILINE,
)
BACKUP = "vzdump"  # one task for many guests


def here(machine: ThisMachine) -> bool:
    """Whether this machine runs Proxmox VE. By its program: /etc/pve may hang, and is empty when it is not mounted."""
    return any(map(machine.exists, PROGRAMS))


def parse_vm(text: str) -> Vm:
    """Read the file of a VM, or of a container, in /etc/pve."""
    config = pve.parse_guest_config(text)
    values = config.values
    return Vm(
        name=values.get("name") or values.get("hostname", "?"),
        tags=config.tags,
        identity=" ".join([values.get("smbios1", ""), values.get("meta", "")]).strip(),
        cd=CD in values,
        disk_only=values.get("boot", DISK_ONLY) == DISK_ONLY,
    )


def parse_running(text: str) -> list[RunningVm]:
    """Read `qm list`: the VMs that run."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [RunningVm(int(row[0]), row[1]) for row in rows if len(row) > 2 and row[2] == "running"]  # noqa: PLR2004


@dataclass(frozen=True)
class ProxmoxVe:
    """Proxmox VE on this machine; :class:`onnode.host.hypervisor.Hypervisor` says what each method is for."""

    machine: ThisMachine

    def vm(self, vmid: int) -> Vm | None:
        """As its file says."""
        text = self.machine.read(f"{NODES}/{membership.hostname(self.machine)}/qemu-server/{vmid}.conf")
        return None if text is None else parse_vm(text)

    def taken(self, vmids: Collection[int]) -> dict[int, Vm]:
        """VMs and containers of the whole cluster, if the host is a member of one: there a number is taken on all nodes."""
        paths = {
            vmid: f"{directory}/{vmid}.conf"
            for node in self.machine.names(NODES)
            for directory in (f"{NODES}/{node}/lxc", f"{NODES}/{node}/qemu-server")
            for vmid in self._there(directory)
            if vmid in vmids
        }
        return {vmid: parse_vm(self.machine.read(path) or "") for vmid, path in paths.items()}

    def _there(self, directory: str) -> list[int]:
        names = self.machine.names(directory)
        return [int(name[:-5]) for name in names if name.endswith(".conf") and name[:-5].isdigit()]

    def runs(self, vmid: int) -> bool:
        """As `qm status` says."""
        return self.machine.run(["qm", "status", str(vmid)]).out.split() == ["status:", "running"]

    def running(self) -> list[RunningVm]:
        """As `qm list` says."""
        return parse_running(self.machine.run(["qm", "list"]).out)

    def marked_bridges(self, stack: str) -> list[str]:
        """By their comment."""
        comments = network.comments(self.machine.read(interfaces_file.FILE) or "")
        return [name for name, lines in comments.items() if pve.stack_tag(stack) in map(str.lower, lines)]

    def image_path(self, storage: str, name: str) -> str:
        """The storage may be of any kind that has files."""
        return self.machine.check(["pvesm", "path", _volume(storage, name)]).strip()

    def attach_cd(self, vmid: int, storage: str, name: str) -> None:
        """As second in the order: an installed disk boots, whether or not the CD is there."""
        drive = f"{_volume(storage, name)},media=cdrom"
        self._change("set", vmid, f"--{CD}", drive, "--boot", DISK_THEN_CD)

    def detach_cd(self, vmid: int) -> None:
        """IDE cannot be unplugged: from a VM that runs, the drive goes when it is next started."""
        self._change("set", vmid, "--delete", CD, "--boot", DISK_ONLY)

    def start(self, vmid: int) -> None:
        """By `qm start`."""
        self._change("start", vmid)

    def stop(self, vmid: int) -> None:
        """By `qm stop`."""
        self._change("stop", vmid)

    def holdings(self, packages: Collection[str]) -> list[str]:  # noqa: ARG002 - none of these is one of its own
        """Nothing: this program does not install it."""
        return []

    def _change(self, command: str, vmid: int, *arguments: str) -> None:
        try:
            self.machine.check(["qm", command, str(vmid), *arguments], timeout_s=VM_S)
        except StepError as error:
            found = pve.LOCKED.search(error.observed)
            if found is None:
                raise
            raise _locked(self.machine, command, vmid, found[1]) from None


def _volume(storage: str, name: str) -> str:
    return f"{storage}:iso/{name}"


def _locked(machine: ThisMachine, command: str, vmid: int, lock: str) -> StepError:
    host, tasks = membership.hostname(machine), machine.read(TASKS)
    task = _task(machine, tasks or "", vmid)
    again = "then run the same command again"
    if task is not None:
        seen, fix = f"task {task} runs", f"wait until that task has ended, {again}"
    elif lock == SUSPENDED:
        seen, fix = "it is suspended to a disk", f"on {host}: qm start {vmid}, which brings it back as it was; {again}"
    elif tasks is not None and lock in pve.HARMLESS:
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


def _task(machine: ThisMachine, tasks: str, vmid: int) -> str | None:
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
