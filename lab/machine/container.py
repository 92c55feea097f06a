"""One run of a machine: from power-on to power-off, reboot or death, under systemd-nspawn."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.image import overlay
from lab.machine import cgroups, network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.shape import Nic

NSPAWN_REBOOT = 133
POWEROFF_SIGNAL = signal.SIGRTMIN + 4  # systemd: start poweroff.target
REBOOT_SIGNAL = signal.SIGRTMIN + 5


class Ending(Enum):
    """How a run ended."""

    REBOOT = "reboot"
    POWEROFF = "poweroff"
    KILLED = "killed"


@dataclass
class NspawnContainer:
    """A machine that is on, with its root mounted; `binds` maps inner to outer paths."""

    name: str
    identity: str
    mount_point: Path
    console: Path
    nics: Sequence[Nic]
    binds: Mapping[str, Path]
    read_only_binds: Mapping[str, Path]
    cut: set[str] = field(default_factory=set)
    process: asyncio.subprocess.Process | None = None
    cgroup: Path | None = None

    async def start(self) -> None:
        """Power on.

        Raises:
            LabError: a bridge is missing or a program failed; nothing is left behind.
        """
        try:
            await network.make_namespace(self.name)
            for nic in self.nics:
                await network.plug(nic, self.name, connected=nic.name not in self.cut)
            self.cgroup = cgroups.create(self.identity, self.name)
            with self.console.open("ab") as console:
                self.process = await asyncio.create_subprocess_exec(
                    *self._command(self.cgroup),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                )
        except LabError:
            await self.clean()
            raise

    def _command(self, cgroup: Path) -> list[str]:
        return cgroups.entering(
            cgroup,
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.mount_point}",
            f"--machine={self.name}",
            "--register=no",
            "--keep-unit",
            "--settings=no",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--console=read-only",
            "--capability=CAP_NET_ADMIN",
            f"--network-namespace-path=/run/netns/{self.name}",
            *(f"--bind={outer}:{inner}" for inner, outer in self.binds.items()),
            *(f"--bind-ro={outer}:{inner}" for inner, outer in self.read_only_binds.items()),
            "--boot",
        )

    async def wait(self) -> Ending:
        """Wait until the run is over, and clear away what it held."""
        assert self.process is not None  # noqa: S101 - start() came first
        code = await self.process.wait()
        await self.clean()
        if code == NSPAWN_REBOOT:
            return Ending.REBOOT
        return Ending.POWEROFF if code == 0 else Ending.KILLED

    @property
    def leader(self) -> int | None:
        """The process id of the machine's init, as the lab sees it."""
        if self.process is None:
            return None
        with suppress(OSError, ValueError, IndexError):
            pid = self.process.pid
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return None

    def signal(self, number: int) -> None:
        """Ask the machine's init for something; a machine that is off does not hear it."""
        leader = self.leader
        if leader is not None:
            with suppress(ProcessLookupError):
                os.kill(leader, number)

    def kill(self) -> None:
        """Cut the power: every process of the machine is gone when this returns."""
        if self.cgroup is not None:
            cgroups.kill(self.cgroup)

    async def clean(self) -> None:
        """Give back the cgroup, cables, network namespace and root mount of this run."""
        self.kill()
        for nic in self.nics:
            await network.unplug(nic)
        await network.remove_namespace(self.name)
        await overlay.unmount(self.mount_point)
