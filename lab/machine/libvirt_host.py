"""The hypervisor of an outer host with libvirt: a domain that libvirt has started becomes a running machine.

libvirt's own QEMU of the domain is idle (see lab/node/pvelab/emulator). The lab hears on its monitor which buttons libvirt presses, and
presses those that the machine itself would press.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from pvelab.emulator import firmware, paths

from lab.errors import LabError
from lab.machine import domain as domains
from lab.machine.container import Ending
from lab.machine.hypervisor import Hypervisor, VirtualMachine
from lab.machine.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from lab.asking import Message
    from lab.machine.domain import Domain
    from lab.machine.vm_config import VmDrive
    from lab.messages import Handler

log = logging.getLogger(__name__)
LABEL = "pve-lab-disk"
LABEL_BYTES = 512
OBEYS_S = 5.0  # how long libvirt takes at most to end a domain that has powered itself off
ORDERLY = {Ending.REBOOT: firmware.RESET_KEY, Ending.POWEROFF: firmware.POWER_OFF_KEY, Ending.KILLED: None}


class DomainMachine(VirtualMachine):
    """A domain as it was when libvirt started it."""

    def __init__(self, host: LibvirtHost, domain: Domain, monitor: Monitor) -> None:
        super().__init__(host, domain.number, domain.config, domain.files)
        self.monitor = monitor
        self.machine.told = self.tell
        self._gone = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Listen, and switch on.

        Raises:
            LabError: QEMU is gone.
        """
        await self.monitor.listen(self.hear, self.end)
        await self.machine.power_on()

    def hear(self, event: Message) -> None:
        """What libvirt has done to the domain; what the lab did itself comes from the guest, as QEMU sees it."""
        by_guest = event.get("data", {}).get("guest", False)
        if event["event"] == "POWERDOWN":
            self.machine.press_power_button()
        elif event["event"] == "RESET" and not by_guest:
            self._later(self._reset())

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reset(self) -> None:
        """The reset button; libvirt presses it to restart a machine that has shut down for that."""
        with suppress(LabError):
            await self.machine.reset()

    async def end(self) -> None:
        """QEMU is gone, so the plug is pulled."""
        self._gone.set()
        await self.machine.power_off()

    async def tell(self, ending: Ending) -> None:
        """Let QEMU and libvirt see what the machine did, without waiting: libvirt may wait for the lab meanwhile."""
        if self.monitor.open:
            self._later(self._press(ORDERLY[ending], ending))

    async def _press(self, key: str | None, ending: Ending) -> None:
        with suppress(LabError):
            if key is None:
                await self.monitor.execute("quit")
                return
            await self.monitor.press(key)
            if ending is Ending.POWEROFF:
                await self._make_sure()

    async def _make_sure(self) -> None:
        """A domain that is paused does not hear a key."""
        try:
            await asyncio.wait_for(self._gone.wait(), OBEYS_S)
        except TimeoutError:
            if not self.machine.on:
                await self.monitor.execute("quit")

    async def medium(self, drive: VmDrive) -> Path | None:
        """What QEMU has in its drive now, which libvirt may have changed since the start."""
        for one in await self.monitor.execute("query-block"):
            inserted = one.get("inserted")
            if drive.key in str(one.get("qdev", "")).split("/") and inserted:
                return self.hypervisor.outer_file(inserted["file"])
        return None

    def file(self, drive: VmDrive) -> Path:
        """A volume's file, as the host's own processes see it."""
        path = self.volumes.get(drive.volume)
        if path is None:
            raise LabError("vm-start-failed", f"the lab finds no file for {drive.key}")
        return self.hypervisor.outer_file(path)

    def disk(self, drive: VmDrive) -> Path | None:
        """Where the content of a raw file is kept; the file has a label from the moment that something is installed on it."""
        with self.file(drive).open("rb") as file:
            head = file.read(LABEL_BYTES).rstrip(b"\0")
        try:
            return self.hypervisor.disk(str(json.loads(head)[LABEL]))
        except (ValueError, KeyError, TypeError):
            return None

    def formatted(self, drive: VmDrive) -> Path:
        """The same; one without a label gets it."""
        found = self.disk(drive)
        if found is not None:
            return found
        identity = str(uuid.uuid4())
        with self.file(drive).open("r+b") as file:
            file.write((json.dumps({LABEL: identity}) + "\n").encode().ljust(LABEL_BYTES, b"\0"))
        return self.hypervisor.disk(identity)


class LibvirtHost(Hypervisor):
    """Serves one outer host's domains."""

    @property
    def operations(self) -> dict[str, Handler]:
        """What libvirt's hook says, and what the stand-in for the kernel asks."""
        return {"domain.started": self._started, "domain.stopped": self._stopped, "vm.list": self._list}

    async def start(self, vmid: int) -> None:
        """Start a domain as the host's administrator would do it; libvirt may be starting it by itself meanwhile."""
        listed = await self.machine.execute("virsh", "list", "--all", "--uuid")
        for identity in listed.split():
            if domains.number(identity) != vmid:
                continue
            try:
                await self.machine.execute("virsh", "start", identity)
            except LabError:
                if vmid not in self.vms or not self.vms[vmid].machine.on:
                    raise

    async def _started(self, message: Message) -> Message:
        domain = domains.parse(message["xml"])
        socket = self.outer_file(str(paths.MONITORS / domain.uuid))
        monitor = await Monitor.connect(socket)
        await self._forget(domain)
        vm = DomainMachine(self, domain, monitor)
        self.vms[domain.number] = vm
        self.machines[vm.machine.name] = vm.machine
        await vm.begin()
        return {}

    async def _forget(self, domain: Domain) -> None:
        """What was known of the domain before, and of another one that had its name."""
        for known, vm in list(self.vms.items()):
            if known == domain.number or vm.config.name == domain.config.name:
                await vm.machine.dispose()
                del self.vms[known]
                del self.machines[vm.machine.name]
                if known != domain.number:
                    self.cuts.pop(known, None)

    async def _stopped(self, message: Message) -> Message:
        vm = self.vms.get(domains.parse(message["xml"]).number)
        if vm is not None:
            await vm.machine.power_off()
        return {}
