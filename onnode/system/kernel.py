"""The running kernel, the newest installed one, and the way from one to the other: a reboot that is proven.

A reboot is only believed when the machine's boot id has changed (F14).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.system import packages, systemd

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

REBOOT_FILE = "/var/lib/nested-pve-ha/reboot.json"
PIN_FILE = "/etc/kernel/proxmox-boot-pin"
REBOOT_UNIT = "nested-pve-ha-reboot"
SSH_BACK_UNIT = "nested-pve-ha-ssh-back"
SSH_UNITS = ("ssh.socket", "ssh.service")
SSH_BACK_S = 120


@dataclass(frozen=True)
class Kernels:
    """Kernels and boots."""

    running: str
    newest: str | None  # None: no kernel of Proxmox is installed
    boot_id: str
    asked_in: str | None = None  # boot id at the time when a reboot was last asked for
    asked_s_ago: float | None = None

    @property
    def outdated(self) -> bool:
        """Whether a reboot would bring another kernel."""
        return self.newest is not None and self.newest != self.running

    @property
    def reboot_missing(self) -> bool:
        """Whether a reboot was asked for that has not happened."""
        return self.asked_in == self.boot_id

    @property
    def rebooting(self) -> bool:
        """Whether a reboot was asked for just now."""
        return self.reboot_missing and self.asked_s_ago is not None and self.asked_s_ago < SSH_BACK_S


def observe(machine: ThisMachine) -> Kernels:
    """Ask the kernel, dpkg, and our own note; a kernel that the administrator pinned counts as the newest."""
    asked = _asked(machine.read(REBOOT_FILE) or "{}")
    pinned = (machine.read(PIN_FILE) or "").strip()
    newest = packages.newest_kernel(packages.installed(machine, "proxmox-kernel-*", "pve-kernel-*"))
    return Kernels(
        (machine.read("/proc/sys/kernel/osrelease") or "").strip(),
        pinned or newest,
        boot_id(machine),
        asked.get("boot_id"),
        machine.time() - asked["time"] if "time" in asked else None,
    )


def _asked(text: str) -> dict[str, Any]:
    """The content of the note; one that is cut off is ignored: the reason for a reboot is checked anyway."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def boot_id(machine: ThisMachine) -> str:
    """What changes with each boot."""
    return (machine.read("/proc/sys/kernel/random/boot_id") or "").strip()


def schedule_reboot(machine: ThisMachine) -> None:
    """Reboot as soon as this step has reported.

    New SSH connections are refused from now on, so that whoever dials next reaches the machine only after its reboot;
    should the reboot not happen, they are let in again.
    """
    machine.write(REBOOT_FILE, json.dumps({"boot_id": boot_id(machine), "time": machine.time()}))
    machine.check([*_unit(SSH_BACK_UNIT), f"--on-active={SSH_BACK_S}", "systemctl", "start", "ssh.service"])
    after_this = f"timeout {SSH_BACK_S} tail --pid={os.getpid()} -s 0.1 -f /dev/null; sleep 1; systemctl reboot"
    machine.check([*_unit(REBOOT_UNIT), "sh", "-c", after_this])
    for unit in SSH_UNITS:
        if systemd.unit(machine, unit).active == "active":
            systemd.systemctl(machine, "stop", unit)


def _unit(name: str) -> list[str]:
    return ["systemd-run", "--collect", f"--unit={name}"]
