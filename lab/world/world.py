"""Everything inside the lab, and what the CLI can ask of it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lab import credentials
from lab.errors import LabError
from lab.image import authority, bytecode, container_template, installer_iso, pve_layer, repository, rootfs, workshop
from lab.machine import network
from lab.machine.computer import Boot, Computer
from lab.machine.hardware import Hardware
from lab.machine.hypervisor import Hypervisor
from lab.programs import run_async
from lab.services import download_server, name_server, storage_server
from lab.shape import DEBIAN, DOMAIN, PREFIX, REPOSITORY_NAMES, ROUTER_ADDRESS, SHAPES

if TYPE_CHECKING:
    from pathlib import Path

    from lab.asking import Message
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

    async def start(self, image: Path) -> None:
        """Bring everything up; returns when each machine of the shape answers on SSH."""
        started = time.monotonic()
        await self._step("unpacking the root image", self._unpack(image))
        workshop.mount(self.settings)
        credentials.make(self.settings, self.shape, self.options.owner)
        self._make_common_directory()
        await self._step("packages and repository", self._make_repository())
        await self._step("network", network.make_bridges(self.shape.bridges))
        self._names = await name_server.serve(self.settings, self.shape)
        await download_server.serve(self.settings)
        await self._step("machines", self._start_machines())
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

    async def _start_machines(self) -> None:
        self.settings.instance.write_text(secrets.token_hex(8))
        for spec in self.shape.machines:
            machine = self._lab_machine(spec)
            self.machines[spec.name] = machine
            if spec.kind == "outer":
                self._add_hypervisor(machine)
            await machine.power_on()
        await asyncio.gather(*(self._wait_until_up(spec) for spec in self.shape.machines))

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
            if spec.kind in DEBIAN:
                rootfs.forget_proxmox_sources(root)
            if spec.kind == "server":
                storage_server.install(self.settings, root)

        hardware = Hardware(self.options.cpu_vendor, OUTER_CORES, OUTER_MEMORY_MIB, virtualization=True)

        async def firmware() -> Boot:
            return Boot(disk, hardware, prepare)

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
        hypervisor = Hypervisor(self.settings, self.options, machine, self.machines)
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
                    leader = (await self._leader({"name": hypervisor.machine.label}))["pid"]
                    await run_async("nsenter", f"--target={leader}", "--all", "--", "qm", "start", str(vmid))
                    return
        await machine.power_on()

    async def _cable(self, message: Message) -> Message:
        await self.machine(message["name"]).set_cable(message["selector"], connected=message["connected"])
        return {}

    async def _leader(self, message: Message) -> Message:
        machine = self.machine(message["name"])
        leader = machine.container.leader if machine.container else None
        if leader is None:
            raise LabError(
                "node-is-off",
                f"{machine.label} is off",
                next_step=f"make in-lab DO='node start {machine.label}'",
            )
        return {"pid": leader}

    async def _reset(self, _: Message) -> Message:
        """Back to fresh machines: nested nodes, disks, clusters and exports are gone; credentials stay."""
        for machine in list(self.machines.values()):
            await machine.dispose()
        self.machines.clear()
        state, memory = self.settings.state, self.settings.memory
        for directory in (state / "machines", memory / "machines", memory / "disks", state / "world"):
            shutil.rmtree(directory, ignore_errors=True)
        self._make_common_directory()
        await self._start_machines()
        return {}


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
