"""Everything inside the lab, and what the CLI can ask of it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import credentials
from lab.errors import LabError
from lab.image import (
    authority,
    bytecode,
    container_template,
    installer_iso,
    libvirt_layer,
    pve_layer,
    repository,
    rootfs,
    workshop,
)
from lab.machine import network
from lab.machine.computer import Boot, Computer
from lab.machine.hardware import Hardware
from lab.machine.hypervisor import Hypervisor
from lab.machine.libvirt_host import LibvirtHost
from lab.programs import run_async
from lab.services import download_server, name_server, storage_server
from lab.shape import DEBIAN, DOMAIN, HOSTS, PREFIX, REPOSITORY_NAMES, ROUTER_ADDRESS, SHAPES
from lab.world import saves, saving
from lab.world.saves import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.asking import Message
    from lab.machine.hypervisor import VirtualMachine
    from lab.options import Options
    from lab.settings import Settings
    from lab.shape import MachineSpec

log = logging.getLogger(__name__)
PORT_WAIT_S = 90.0
SSH_PORT = 22
API_PORT = 8006
# What the lab's own machines say they have; nothing is reserved for them.
OUTER_CORES = 16
OUTER_MEMORY_MIB = 65536


class World:
    """The lab while it runs."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self.settings = settings
        self.options = options
        self.shape = SHAPES[options.shape]
        self.machines: dict[str, Computer] = {}
        self.hypervisors: dict[str, Hypervisor] = {}
        self.ready = False
        self.stage = "starting"
        self._names: asyncio.subprocess.Process | None = None
        self._saving = asyncio.Lock()

    async def start(self, image: Path, save: Path | None = None) -> None:
        """Bring everything up; returns when each machine of the shape answers on SSH.

        Args:
            image: the root image's tar file.
            save: of a lab with the same options, to start from instead of fresh machines; those that ran have booted then.
        """
        started = time.monotonic()
        await self._step("unpacking the root image", self._unpack(image))
        workshop.mount(self.settings)
        if save is None:
            credentials.make(self.settings, self.shape, self.options.owner)
            self._make_common_directory()
            await self._step("packages and repository", self._make_repository())
            self._name_instance()
        else:
            await self._step("unpacking the save", saving.unpack(self.settings, save / saves.PACKED))
            credentials.hand_over(self.settings, self.options.owner)
        await self._step("network", network.make_bridges(self.shape.bridges))
        self._names = await name_server.serve(self.settings, self.shape)
        await download_server.serve(self.settings)
        if save is None:
            await self._step("machines", self._start_machines())
        else:
            await self._step("machines", self._start_saved(saves.read(save).machines))
        self.ready = True
        self.stage = "ready"
        log.info("ready after %.1f s", time.monotonic() - started)

    async def _step(self, name: str, work: Any) -> None:  # noqa: ANN401 - any awaitable
        self.stage = name
        log.info("%s", name)
        await work

    async def _unpack(self, image: Path) -> None:
        self.settings.image.mkdir()
        await run_async("tar", "-C", str(self.settings.image), "--exclude=./dev/*", "-xf", str(image))
        if self.shape.has_libvirt:
            await libvirt_layer.unpack(self.settings, image)

    def _make_common_directory(self) -> None:
        """What all machines see below /run/pve-lab/world."""
        (self.settings.state / "world").mkdir()
        bytecode.link(self.settings)

    async def _make_repository(self) -> None:
        authority.make(self.settings, REPOSITORY_NAMES)
        await asyncio.to_thread(repository.build, self.settings)
        proxmox = self.settings.state / "sites" / "download.proxmox.com"
        (proxmox / "debian/proxmox-archive-keyring-trixie.gpg").write_bytes(repository.keyring(self.settings))
        (proxmox / "iso").mkdir()
        digest = await asyncio.to_thread(installer_iso.write, proxmox / "iso" / installer_iso.NAME)
        (proxmox / "iso/SHA256SUMS").write_text(f"{digest}  {installer_iso.NAME}\n")
        (proxmox / "images/system").mkdir(parents=True)
        container_template.write(proxmox / "images/system" / container_template.NAME)
        await pve_layer.build(self.settings)
        if self.shape.has_libvirt:
            await libvirt_layer.build(self.settings)

    def _name_instance(self) -> None:
        self.settings.instance.write_text(secrets.token_hex(8))

    async def _start_machines(self) -> None:
        self._add_machines()
        for machine in self.machines.values():
            await machine.power_on()
        await asyncio.gather(*(self._wait_until_up(spec) for spec in self.shape.machines))

    def _add_machines(self) -> None:
        for spec in self.shape.machines:
            machine = self._lab_machine(spec)
            self.machines[spec.name] = machine
            if spec.kind in HOSTS:
                self._add_hypervisor(machine)

    async def _start_saved(self, kept: Mapping[str, Kept]) -> None:
        self._add_machines()
        for name, machine in kept.items():
            self.machines[name].cut.update(machine.cut)
            for vmid, vm in machine.vms.items():
                self.hypervisors[name].cuts[int(vmid)] = set(vm.cut)
        await self._wake(kept)

    def _kept(self) -> dict[str, Kept]:
        """Which machines are on, and their cut cables."""
        return {
            spec.name: Kept(
                on=self.machines[spec.name].on,
                cut=sorted(self.machines[spec.name].cut),
                vms={str(vmid): Kept(vm.machine.on, sorted(vm.machine.cut), {}) for vmid, vm in self._vms(spec.name)},
            )
            for spec in self.shape.machines
        }

    def _vms(self, name: str) -> Iterable[tuple[int, VirtualMachine]]:
        return self.hypervisors[name].vms.items() if name in self.hypervisors else ()

    async def _wake(self, kept: Mapping[str, Kept]) -> None:
        """Switch on what was on and is not; returns when all that was on has booted. Outer hosts start most VMs by themselves."""
        specs = [spec for spec in self.shape.machines if kept[spec.name].on]
        for spec in specs:
            if not self.machines[spec.name].on:
                await self.machines[spec.name].power_on()
        await asyncio.gather(*(saving.booted(self.machines[spec.name]) for spec in specs))
        for spec in specs:
            for vmid, vm in kept[spec.name].vms.items():
                if vm.on:
                    await self._start_vm(spec.name, int(vmid))
        vms = [
            self.hypervisors[spec.name].vms[int(vmid)]
            for spec in specs
            for vmid, vm in kept[spec.name].vms.items()
            if vm.on
        ]
        await asyncio.gather(*(saving.booted(vm.machine) for vm in vms))

    async def _start_vm(self, outer: str, vmid: int) -> None:
        vm = self.hypervisors[outer].vms.get(vmid)
        if vm is None or not vm.machine.on:
            await self.hypervisors[outer].start(vmid)

    async def _wait_until_up(self, spec: MachineSpec) -> None:
        await wait_for_port(spec.address, SSH_PORT)
        if spec.kind not in DEBIAN:
            await wait_for_port(spec.address, API_PORT)

    def _lab_machine(self, spec: MachineSpec) -> Computer:
        disk = self.settings.memory / "disks" / spec.name
        document = credentials.load(self.settings)
        password_hash = rootfs.hash_password(self.settings, credentials.root_password(document, spec.name))
        system = rootfs.System(
            hostname=spec.name,
            domain=DOMAIN,
            address=spec.address,
            root_password_hash=password_hash,
            ssh_keys=(document["sshPublicKey"],),
            name_server=ROUTER_ADDRESS,
            interfaces=rootfs.interfaces(
                spec.nics[0].name,
                spec.address,
                PREFIX,
                ROUTER_ADDRESS,
                {nic.name: spec.addresses.get(nic.name, "") for nic in spec.nics[1:]},
                bridge="br0" if spec.kind == "kvm" else "vmbr0",
                bridges=spec.bridges,
            ),
        )

        def prepare(root: Path) -> None:
            if (root / "etc/hostname").exists():
                return
            rootfs.apply_system(root, system)
            private = credentials.host_key_path(self.settings, spec.name).read_text()
            credentials.write_private(root / "etc/ssh/ssh_host_ed25519_key", private)
            # Proxmox's cluster tools read this one, whatever sshd presents.
            credentials.write_host_key(root, "rsa", credentials.new_rsa(f"root@{spec.name}"))
            if spec.kind == "kvm":
                rootfs.forget_proxmox(root)
            elif spec.kind in DEBIAN:
                rootfs.forget_proxmox_sources(root)
            if spec.kind == "server":
                storage_server.install(self.settings, root)

        hardware = Hardware(self.options.cpu_vendor, OUTER_CORES, OUTER_MEMORY_MIB, virtualization=True)

        async def firmware() -> Boot:
            return Boot(disk, hardware, prepare, self.settings.libvirt_layers if spec.kind == "kvm" else None)

        return Computer(
            name=spec.name,
            kind=spec.kind,
            label=spec.name,
            nics=spec.nics,
            settings=self.settings,
            time_scale=self.options.time_scale,
            firmware=firmware,
        )

    def _add_hypervisor(self, machine: Computer) -> None:
        kind = LibvirtHost if machine.kind == "kvm" else Hypervisor
        hypervisor = kind(self.settings, self.options, machine, self.machines)
        machine.run_over = hypervisor.power_off_all
        machine.requests = hypervisor.handle
        self.hypervisors[machine.name] = hypervisor

    def machine(self, name: str) -> Computer:
        """Find a machine by the name people use for it.

        Raises:
            LabError: no-such-node.
        """
        for machine in self.machines.values():
            if name in (machine.label, machine.name):
                return machine
        known = ", ".join(sorted(machine.label for machine in self.machines.values()))
        raise LabError("no-such-node", f"there is no machine {name}", observed=f"known: {known}")

    async def handle(self, message: Message) -> Message:
        """Answer one request of the CLI."""
        operations = {
            "status": self._status,
            "node": self._node,
            "cable": self._cable,
            "leader": self._leader,
            "reset": self._reset,
            "save": self._save,
        }
        return await operations[message["op"]](message)

    async def _status(self, _: Message) -> Message:
        machines = [
            {
                "name": machine.label,
                "kind": machine.kind,
                "on": machine.on,
                "cut": sorted(machine.cut),
                "console": str(machine.directory / "console.log"),
            }
            for machine in self.machines.values()
        ]
        return {"ready": self.ready, "stage": self.stage, "machines": machines, "options": asdict(self.options)}

    async def _node(self, message: Message) -> Message:
        machine = self.machine(message["name"])
        match message["action"]:
            case "start" if not machine.on:
                await self._start_machine(machine)
            case "stop":
                await machine.shut_down()
            case "kill":
                await machine.power_off()
            case "reboot":
                machine.reboot()
        return {}

    async def _start_machine(self, machine: Computer) -> None:
        """A nested node is started as its outer host's administrator would do it, so that their views agree."""
        for hypervisor in self.hypervisors.values():
            for vmid, vm in hypervisor.vms.items():
                if vm.machine is machine:
                    await hypervisor.start(vmid)
                    return
        await machine.power_on()

    async def _cable(self, message: Message) -> Message:
        await self.machine(message["name"]).set_cable(message["selector"], connected=message["connected"])
        return {}

    async def _leader(self, message: Message) -> Message:
        return {"pid": self.machine(message["name"]).leader()}

    async def _reset(self, _: Message) -> Message:
        """Back to fresh machines: nested nodes, disks, clusters and exports are gone; credentials stay."""
        for machine in list(self.machines.values()):
            await machine.dispose()
        self.machines.clear()
        state, memory = self.settings.state, self.settings.memory
        for directory in (state / "machines", memory / "machines", memory / "disks", state / "world"):
            shutil.rmtree(directory, ignore_errors=True)
        self._make_common_directory()
        self._name_instance()
        await self._start_machines()
        return {}

    async def _save(self, message: Message) -> Message:
        """All machines are off for some seconds, and then on again."""
        async with self._saving:
            kept = self._kept()
            try:
                await saving.bring_to_rest(self.machines.values())
                await saving.pack(self.settings, Path(message["file"]))
            finally:
                await self._wake(kept)
        return {"machines": {name: asdict(machine) for name, machine in kept.items()}}


async def wait_for_port(address: str, port: int) -> None:
    """Wait until something listens there.

    Raises:
        LabError: machine-not-up.
    """
    deadline = time.monotonic() + PORT_WAIT_S
    while time.monotonic() < deadline:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 1)
        except (OSError, TimeoutError):
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise LabError("machine-not-up", f"nothing listens at {address}:{port} after {PORT_WAIT_S:.0f} s")
