"""The hypervisor of an outer host: turns VM configurations into running machines (see README, hypervisor.sock)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.image import overlay
from lab.machine import installer, network, vm_config
from lab.machine.computer import Boot, Computer
from lab.machine.hardware import Hardware
from lab.shape import Nic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.asking import Message
    from lab.machine.vm_config import VmCard, VmConfig, VmDrive
    from lab.messages import Handler
    from lab.options import Options
    from lab.settings import Settings

log = logging.getLogger(__name__)
INSTALL_S = 1.0  # how long an installation takes here; a real one takes minutes
DISK_ID = re.compile(r"[0-9a-f-]{8,64}")
ROLES = {
    f"{prefix}{number}": role
    for prefix in ("vmbr", "br")
    for number, role in enumerate(("management", "0", "1", "storage"))
}


class VirtualMachine:
    """One VM as it was configured when it was started."""

    def __init__(self, hypervisor: Hypervisor, vmid: int, config: VmConfig, volumes: dict[str, str]) -> None:
        self.hypervisor = hypervisor
        self.vmid = vmid
        self.config = config
        self.volumes = volumes
        outer = hypervisor.machine
        self.hardware = Hardware(
            vendor=hypervisor.options.cpu_vendor,
            cores=config.cores,
            memory_mib=config.memory_mib,
            virtualization=config.kvm and config.nested_flag and hypervisor.nested_on(),
            model=config.cpu_model,
            nested_by_default=True,
        )
        self.machine = Computer(
            name=f"{outer.name}-{vmid}",
            kind="nested",
            label=config.name,
            nics=tuple(self._nic(card) for card in config.cards if card.bridge),
            settings=hypervisor.settings,
            time_scale=hypervisor.options.time_scale,
            firmware=self.boot,
            cut=hypervisor.cuts.setdefault(vmid, set()),
        )

    def _nic(self, card: VmCard) -> Nic:
        number = card.key.removeprefix("net")
        bridge = card.bridge or ""
        return Nic(
            name=card.name,
            mac=card.mac,
            bridge=bridge,
            port=f"tap{self.vmid}i{number}",
            switch=self.hypervisor.machine.name,
            role=ROLES.get(bridge, bridge),
        )

    async def plug(self, cards: Sequence[VmCard]) -> None:
        """Have these cards from now on."""
        await self.machine.replug(tuple(self._nic(card) for card in cards if card.bridge))

    async def check(self) -> None:
        """Refuse what `qm start` and QEMU refuse.

        Raises:
            LabError: with QEMU's words.
        """
        if self.config.kvm and not self.hypervisor.has_kvm():
            raise LabError(
                "vm-start-failed",
                "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS.",
            )
        if not self.config.kvm and self.config.cpu_model == "host":
            raise LabError(
                "vm-start-failed", "kvm: CPU model 'host' requires KVM or HVF\nstart failed: QEMU exited with code 1"
            )
        for nic in self.machine.nics:
            if not await network.has_bridge(nic.bridge, nic.switch):
                raise LabError(
                    "vm-start-failed",
                    f"bridge '{nic.bridge}' does not exist\n"
                    f"kvm: -netdev type=tap,id=net0,ifname={nic.port},script=/usr/libexec/qemu-server/pve-bridge: "
                    "network script /usr/libexec/qemu-server/pve-bridge failed with status 512\n"
                    "start failed: QEMU exited with code 1",
                )

    async def boot(self) -> Boot | None:
        """The firmware: try the boot devices in order, as SeaBIOS does."""
        drives = {drive.key: drive for drive in self.config.drives}
        for key in self.config.boot_order:
            drive = drives.get(key)
            if drive is None:
                continue
            if drive.cdrom:
                file = await self.medium(drive)
                if file is None:
                    continue
                self.machine.say("Booting from DVD/CD...")
                medium = installer.read_medium(file)
                if not medium.bootable:
                    self.machine.say("Boot failed: Could not read from CDROM (code 0003)")
                    continue
                return await self._run_installer(medium)
            self.machine.say("Booting from Hard Disk...")
            disk = self.disk(drive)
            if disk is not None and (disk / "installed.json").exists():
                return Boot(disk, self.hardware)
            self.machine.say("Boot failed: not a bootable disk")
        return None

    async def _run_installer(self, medium: installer.Medium) -> Boot | None:
        if medium.mode is None:
            self.machine.say("Proxmox VE installer: waiting for somebody to answer its questions")
            await asyncio.Event().wait()
        self.machine.say("Starting automatic installation")
        await asyncio.sleep(INSTALL_S)
        devices = {drive.device: drive for drive in self.config.drives if drive.device}
        settings = self.hypervisor.settings
        try:
            plan = installer.plan(settings, medium, self.config.cards, list(devices))
        except LabError as error:
            self.machine.say(f"Installation failed: {error.args[0]}\nDropping to a shell for debugging.")
            await asyncio.Event().wait()
            raise
        disk = self.formatted(devices[plan.device])
        shutil.rmtree(disk, ignore_errors=True)
        root = await overlay.mount(settings.layers, disk, self.machine.root)
        try:
            await asyncio.to_thread(installer.install, settings, plan, root)
        finally:
            await overlay.unmount(root)
        (disk / "installed.json").write_text(json.dumps({"hostname": plan.system.hostname}) + "\n")
        self.machine.say("Installation finished" + (", rebooting" if plan.reboot else ", powering off"))
        if plan.reboot:
            return await self.boot()
        return None

    async def medium(self, drive: VmDrive) -> Path | None:
        """What is in a CD drive now."""
        return None if drive.volume == "none" else self.file(drive)

    def file(self, drive: VmDrive) -> Path:
        """A volume's file, as the lab sees it in the outer host's root."""
        path = self.volumes.get(drive.volume)
        if path is None:
            raise LabError("vm-start-failed", f"volume '{drive.volume}' does not exist")
        return self.hypervisor.root / path.lstrip("/")

    def disk(self, drive: VmDrive) -> Path | None:
        """Where the content of a disk is kept; None for one that has never had any."""
        try:
            label = json.loads(self.file(drive).read_text())
            name = str(label["pve-lab-disk"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError("vm-start-failed", f"cannot open volume '{drive.volume}': {error}") from error
        return self.hypervisor.disk(name)

    def formatted(self, drive: VmDrive) -> Path:
        """Where content of a disk is to be kept.

        Raises:
            LabError: the disk cannot be opened.
        """
        disk = self.disk(drive)
        if disk is None:
            raise LabError("vm-start-failed", f"cannot open volume '{drive.volume}'")
        return disk


class Hypervisor:
    """Serves one outer host's VMs; each that was started is one of `machines`, which are the whole lab's."""

    def __init__(self, settings: Settings, options: Options, machine: Computer, machines: dict[str, Computer]) -> None:
        self.settings = settings
        self.options = options
        self.machine = machine
        self.machines = machines
        self.vms: dict[int, VirtualMachine] = {}
        self.cuts: dict[int, set[str]] = {}

    @property
    def root(self) -> Path:
        """The outer host's root file system."""
        return self.machine.root

    def disk(self, name: str) -> Path:
        """Where the content of the disk with this identity is kept."""
        if not DISK_ID.fullmatch(name):
            raise LabError("vm-start-failed", f"'{name}' is no disk of this lab")
        return self.settings.memory / "disks" / name

    def outer_file(self, path: str) -> Path:
        """A file of the outer host as its own processes see it, mounts of its own included."""
        leader = self.machine.container.leader if self.machine.container else None
        return Path(f"/proc/{leader}/root") / path.lstrip("/")

    def has_kvm(self) -> bool:
        """Whether the outer host has /dev/kvm now."""
        return self.outer_file("dev/kvm").exists()

    def nested_on(self) -> bool:
        """Whether the outer host's KVM module allows nested virtualization now."""
        module = f"kvm_{self.options.cpu_vendor}"
        parameter = self.outer_file(f"sys/module/{module}/parameters/nested")
        return parameter.exists() and parameter.read_text().strip() in ("Y", "1")

    async def start(self, vmid: int) -> None:
        """Start a VM as the outer host's administrator would do it, so that their views agree."""
        await self.machine.execute("qm", "start", str(vmid))

    @property
    def operations(self) -> dict[str, Handler]:
        """What the outer host may ask for."""
        return {
            "vm.start": self._start,
            "vm.stop": self._stop,
            "vm.reset": self._reset,
            "vm.reboot": self._reboot,
            "vm.plug": self._plug,
            "vm.status": self._status,
            "vm.list": self._list,
            "vm.destroy": self._destroy,
        }

    async def handle(self, message: Message) -> Message:
        """Answer one request."""
        operation = self.operations.get(message["op"], self.machine.answer)
        return await operation(message)

    def _vm(self, message: Message) -> VirtualMachine | None:
        return self.vms.get(int(message["vmid"]))

    def _running(self, message: Message) -> VirtualMachine:
        vm = self._vm(message)
        if vm is None or not vm.machine.on:
            raise LabError("vm-not-running", f"VM {message['vmid']} not running")
        return vm

    async def _start(self, message: Message) -> Message:
        vmid = int(message["vmid"])
        before = self._vm(message)
        if before is not None and before.machine.on:
            raise LabError("vm-running", f"VM {vmid} already running")
        config = vm_config.parse(vmid, {key: str(value) for key, value in message["config"].items()})
        vm = VirtualMachine(self, vmid, config, message.get("volumes", {}))
        await vm.check()
        if before is not None:
            await before.machine.dispose()
        self.vms[vmid] = vm
        self.machines[vm.machine.name] = vm.machine
        await vm.machine.power_on()
        return {}

    async def _stop(self, message: Message) -> Message:
        vm = self._vm(message)
        if vm is not None:
            await vm.machine.power_off()
        return {}

    async def _reset(self, message: Message) -> Message:
        await self._running(message).machine.reset()
        return {}

    async def _reboot(self, message: Message) -> Message:
        self._running(message).machine.reboot()
        return {}

    async def _plug(self, message: Message) -> Message:
        vm = self._running(message)
        config = vm_config.parse(vm.vmid, {key: str(value) for key, value in message["config"].items()})
        await vm.plug(config.cards)
        return {}

    async def _status(self, message: Message) -> Message:
        vm = self._vm(message)
        if vm is None or not vm.machine.on:
            return {"running": False}
        return {"running": True, "uptime": int(time.monotonic() - vm.machine.powered_on)}

    async def _list(self, _: Message) -> Message:
        running: dict[str, Any] = {str(vmid): {"kvm": vm.config.kvm} for vmid, vm in self.vms.items() if vm.machine.on}
        return {"vms": running}

    async def _destroy(self, message: Message) -> Message:
        vm = self.vms.pop(int(message["vmid"]), None)
        if vm is not None:
            await vm.machine.dispose()
            self.machines.pop(vm.machine.name, None)
            shutil.rmtree(vm.machine.directory, ignore_errors=True)
        self.cuts.pop(int(message["vmid"]), None)
        for name in message.get("disks", []):
            shutil.rmtree(self.disk(name), ignore_errors=True)
        return {}

    async def power_off_all(self) -> None:
        """The outer host is off: so are its VMs."""
        for vm in self.vms.values():
            await vm.machine.power_off()
