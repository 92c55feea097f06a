"""Inside the lab: its machines come to rest, what they are is packed, and unpacked again where there are none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.programs import run_async
from lab.shape import DEBIAN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lab.machine.computer import Computer
    from lab.settings import Settings

NODES = ("nested", "existing")
HA = ("pve-ha-lrm", "pve-ha-crm")  # in this order: what the first one asks for, the second one does
HA_STOP_S = 60  # its rounds last a second in a lab of the usual scale
BOOT_S = 120
# Below the state directory. The rest is of one run only, or made from the root image.
CONTENT = ("credentials.json", "id_ed25519", "host-keys", "authority", "sites", "instance", "world")
LAYERS = ("memory/disks", "memory/pve-layer/upper")
LIBVIRT_LAYER = "memory/libvirt-layer/upper"  # only where there is a libvirt host
SCRATCH = "memory/disks/*/work"  # of a mount
TAR = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse")


async def bring_to_rest(machines: Iterable[Computer]) -> None:
    """Shut everything down as somebody would who wants it back as it is: HA first, then nodes, then their hosts.

    A node that goes down alone leaves its guests to the others, and one that loses quorum with guests under HA is reset by its
    watchdog. So HA lets go of all guests first.

    Raises:
        LabError: lab-not-at-rest, shutdown-timeout.
    """
    on = [machine for machine in machines if machine.on]
    nodes = [machine for machine in on if machine.kind in NODES]
    try:
        for service in HA:
            await asyncio.gather(*(_stop(machine, service) for machine in nodes))
    except LabError:
        await asyncio.gather(*(node.execute("systemctl", "start", "--no-block", *HA) for node in nodes if node.on))
        raise
    for kinds in (NODES, ("outer",), DEBIAN):
        await asyncio.gather(*(machine.shut_down() for machine in on if machine.kind in kinds))


async def _stop(machine: Computer, service: str) -> None:
    try:
        await machine.execute("timeout", "--kill-after=1", str(HA_STOP_S), "systemctl", "stop", service)
    except LabError as error:
        raise LabError(
            "lab-not-at-rest",
            f"{service} on {machine.label} does not let go of its guests",
            observed=error.observed,
            expected=f"an end within {HA_STOP_S} s, as in a healthy cluster",
            next_step="make status, mend what it shows, then again",
        ) from error


async def booted(machine: Computer) -> None:
    """Wait until the machine has started all that it starts by itself.

    Raises:
        LabError: machine-not-up.
    """
    deadline = asyncio.get_running_loop().time() + BOOT_S
    while machine.on and asyncio.get_running_loop().time() < deadline:
        try:
            # It exits with 1 where some unit failed, which is the machine's own matter.
            state = await machine.execute("sh", "-c", "timeout 30 systemctl is-system-running --wait || true")
        except LabError:
            state = ""
        if state.strip() in ("running", "degraded"):
            return
        await asyncio.sleep(0.1)
    raise LabError("machine-not-up", f"{machine.label} is off, or has not booted after {BOOT_S} s")


async def pack(settings: Settings, file: Path) -> None:
    """Write what the machines are; they must be off. Who may read it is the directory's matter."""
    layers = [*LAYERS, *([LIBVIRT_LAYER] if (settings.state / LIBVIRT_LAYER).exists() else [])]
    await run_async(*TAR, "-C", str(settings.state), f"--exclude={SCRATCH}", "-cf", str(file), *CONTENT, *layers)


async def unpack(settings: Settings, file: Path) -> None:
    """Put it where a fresh lab has nothing yet."""
    await run_async(*TAR, "-C", str(settings.state), "-xpf", str(file))
