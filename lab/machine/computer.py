"""A computer of the lab: its power, and what happens each time it boots."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import messages
from lab.errors import LabError
from lab.image import overlay, rootfs
from lab.machine import network
from lab.machine.container import POWEROFF_SIGNAL, REBOOT_SIGNAL, Ending, NspawnContainer
from lab.programs import run_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from lab.asking import Message
    from lab.machine.hardware import Hardware
    from lab.settings import Settings
    from lab.shape import Kind, Nic

log = logging.getLogger(__name__)
SHUTDOWN_WAIT_S = 60.0


@dataclass(frozen=True)
class Boot:
    """What the firmware found: a disk, the processor, and how to finish the mounted root before the machine runs.

    `layers` are below the disk: an installed Proxmox VE where there are none.
    """

    disk: Path
    hardware: Hardware
    prepare: Callable[[Path], None] = lambda _: None
    layers: str | None = None


def _report(life: asyncio.Task[None]) -> None:
    """A machine that ends by a mistake of the lab says so in the lab's log."""
    if not life.cancelled() and (error := life.exception()):
        log.error("%s broke", life.get_name(), exc_info=error)


@dataclass
class Computer:
    """A computer. `firmware` is asked at every boot; no answer means that nothing is bootable."""

    name: str
    kind: Kind
    label: str
    nics: Sequence[Nic]
    settings: Settings
    time_scale: float
    firmware: Callable[[], Awaitable[Boot | None]]
    run_over: Callable[[], Awaitable[None]] | None = None  # called after every run, before the next boot
    # Called when the machine itself, or a hand on its plug, has ended a run; not for its reset button.
    told: Callable[[Ending], Awaitable[None]] | None = None
    cut: set[str] = field(default_factory=set)
    container: NspawnContainer | None = None
    _life: asyncio.Task[None] | None = None
    requests: messages.Handler | None = None  # what the machine may ask at /run/pve-lab/hypervisor.sock
    powered_on: float = 0.0  # time.monotonic() of the last power-on
    _server: asyncio.Server | None = None
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def directory(self) -> Path:
        """Where the lab keeps this machine's console log and run directory."""
        return self.settings.state / "machines" / self.name

    @property
    def root(self) -> Path:
        """Where its root file system is mounted while it is on."""
        return self.settings.memory / "machines" / self.name

    @property
    def on(self) -> bool:
        """Whether the power is on."""
        return self._life is not None and not self._life.done()

    def say(self, text: str) -> None:
        """Print on the machine's console, as its firmware would."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "console.log").open("a") as console:
            console.write(text + "\n")

    async def power_on(self) -> None:
        """Switch on and return once the first boot is under way.

        Raises:
            LabError: it is on already.
        """
        if self.on:
            raise LabError("already-on", f"{self.label} is already running")
        self.powered_on = time.monotonic()
        self._life = asyncio.create_task(self._live(), name=f"machine {self.name}")
        self._life.add_done_callback(_report)

    async def _live(self) -> None:
        try:
            while True:
                self.say("--- power on")
                boot = await self.firmware()
                if boot is None:
                    self.say("No bootable device.")
                    await asyncio.Event().wait()
                    return
                ending = await self._run_once(boot)
                self.say(f"--- {ending.value}")
                if self.run_over:
                    await self.run_over()
                await self._tell(ending)
                if ending is not Ending.REBOOT:
                    return
        except LabError as error:
            self.say(str(error))
            log.warning("%s: %s", self.name, error)
            await self._tell(Ending.KILLED)
        finally:
            await self._clean()

    async def _run_once(self, boot: Boot) -> Ending:
        run_directory = self.directory / "run"
        facts = {
            "name": self.label,
            "kind": self.kind,
            "time_scale": self.time_scale,
            "memory_mib": boot.hardware.memory_mib,
        }
        rootfs.write(run_directory / "machine.json", json.dumps(facts) + "\n")
        boot.hardware.write(run_directory / "kernel")
        if self._server is None:
            self._server = await messages.serve(run_directory / "hypervisor.sock", self.requests or self.answer)
        world = self.settings.state / "world"
        (run_directory / "world").mkdir(exist_ok=True)
        self.container = NspawnContainer(
            name=self.name,
            identity=self.settings.identity,
            mount_point=self.root,
            console=self.directory / "console.log",
            nics=self.nics,
            binds={str(rootfs.LAB_MOUNT): run_directory, str(rootfs.LAB_MOUNT / "world"): world},
            read_only_binds=rootfs.read_only_binds(),
            cut=self.cut,
        )
        root = await overlay.mount(boot.layers or self.settings.layers, boot.disk, self.container.mount_point)
        boot.prepare(root)
        rootfs.refresh_stand_ins(root, self.kind)
        await self.container.start()
        return await self.container.wait()

    async def _clean(self) -> None:
        if self.container is not None:
            await self.container.clean()
            self.container = None

    async def _tell(self, ending: Ending) -> None:
        if self.told:
            await self.told(ending)

    async def power_off(self) -> None:
        """Pull the plug: returns when every process of the machine is gone. No effect on one that is off."""
        was_on = self.on
        await self._cut_power()
        if was_on:
            await self._tell(Ending.KILLED)

    async def _cut_power(self) -> None:
        if self._life is None:
            return
        self._life.cancel()
        with suppress(asyncio.CancelledError):
            await self._life
        if self.run_over:
            await self.run_over()

    async def shut_down(self, timeout_s: float = SHUTDOWN_WAIT_S) -> None:
        """Ask for a clean shutdown and wait for it.

        Raises:
            LabError: shutdown-timeout, the machine is still on.
        """
        if not self.on or self._life is None:
            return
        if self.container is None:
            await self.power_off()
            return
        self.container.signal(POWEROFF_SIGNAL)
        done, _ = await asyncio.wait({self._life}, timeout=timeout_s)
        if not done:
            raise LabError("shutdown-timeout", f"{self.label} did not shut down in {timeout_s:.0f} s")

    async def dispose(self) -> None:
        """Power off for good."""
        await self.power_off()
        if self._server is not None:
            self._server.close()
            self._server = None

    def press_power_button(self) -> None:
        """Ask for a clean shutdown; a machine that found nothing to boot does not hear it."""
        if self.container is not None:
            self.container.signal(POWEROFF_SIGNAL)

    def reboot(self) -> None:
        """Ask for a clean reboot."""
        if self.container is not None:
            self.container.signal(REBOOT_SIGNAL)

    async def reset(self) -> None:
        """Press the reset button."""
        await self._cut_power()
        await self.power_on()

    async def answer(self, message: Message) -> Message:
        """What any machine may ask: to be reset at once, as its watchdog does."""
        if message["op"] != "machine.reset":
            raise LabError("not-allowed", f"{self.label} is no outer host")
        asyncio.get_running_loop().call_soon(self.reset_soon)
        return {}

    def reset_soon(self) -> None:
        """Press the reset button without waiting: for a machine that resets itself."""
        task = asyncio.create_task(self.reset())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def leader(self) -> int:
        """The process id of its init, as the lab sees it.

        Raises:
            LabError: node-is-off.
        """
        leader = self.container.leader if self.container else None
        if leader is None:
            raise LabError("node-is-off", f"{self.label} is off", next_step=f"make in-lab DO='node start {self.label}'")
        return leader

    async def execute(self, *command: str) -> str:
        """Run a command in it, as on its console; what it printed.

        Raises:
            LabError: node-is-off, command-failed.
        """
        return await run_async("nsenter", f"--target={self.leader()}", "--all", "--", *command)

    async def replug(self, nics: Sequence[Nic]) -> None:
        """Take out and put in cards while the machine is on, as hotplug does; it has these from now on."""
        before, self.nics = self.nics, nics
        if self.container is None:
            return
        self.container.nics = nics
        for nic in before:
            if nic not in nics:
                await network.unplug(nic)
        for nic in nics:
            if nic not in before:
                await network.plug(nic, self.name, connected=nic.name not in self.cut)

    async def set_cable(self, selector: str, *, connected: bool) -> None:
        """Cut or mend cables by role, card or bridge name; they stay so over reboots.

        Raises:
            LabError: no-such-link.
        """
        nics = [nic for nic in self.nics if selector in (nic.role, nic.name, nic.bridge)]
        if not nics:
            roles = ", ".join(f"{nic.role} ({nic.name} on {nic.bridge})" for nic in self.nics)
            raise LabError("no-such-link", f"{self.label} has no link {selector}", observed=f"it has: {roles}")
        for nic in nics:
            (self.cut.discard if connected else self.cut.add)(nic.name)
            if self.on:
                await network.set_cable(nic, connected=connected)
