"""What the lab consists of before any program runs: networks, machines and names.

Everything else (bridges on the outer host, nested nodes, the cluster) is made by the product.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["outer", "kvm", "nested", "existing", "server", "witness"]
DEBIAN = ("kvm", "server", "witness")  # kinds of machines without Proxmox VE
HOSTS = ("outer", "kvm")  # kinds of machines whose VMs become machines of the lab

DOMAIN = "lab.internal"
OFFICE = "office"
PREFIX = 24
ADMIN_ADDRESS = "192.168.0.10"
ROUTER_ADDRESS = "192.168.0.1"
REPOSITORY_ADDRESS = "192.168.0.5"
CLUSTER_NAME = f"pve.{DOMAIN}"
DEBIAN_MIRROR = f"debian.{DOMAIN}"
REPOSITORY_NAMES = ("download.proxmox.com", "enterprise.proxmox.com", DEBIAN_MIRROR)


@dataclass(frozen=True)
class Nic:
    """A network card: its name inside the machine, and the bridge port it is plugged into."""

    name: str
    mac: str
    bridge: str
    port: str  # the other end's interface name, a port of `bridge`
    switch: str | None = None  # machine that owns the bridge; None: the lab itself
    role: str = "management"  # "management", "0", "1" (links) or "storage": what `link cut` and `storage cut` address


@dataclass(frozen=True)
class MachineSpec:
    """A machine that exists when the lab comes up, installed and configured like a fresh one."""

    name: str
    kind: Kind
    address: str
    nics: tuple[Nic, ...]
    addresses: dict[str, str] = field(default_factory=dict)  # further NIC -> address with prefix
    bridges: dict[str, str] = field(
        default_factory=dict
    )  # further NIC -> the bridge that it is a port of, and that has the address


@dataclass(frozen=True)
class Shape:
    """One world: the lab's own bridges, the machines, and the names that DNS knows."""

    name: str
    bridges: tuple[str, ...]
    machines: tuple[MachineSpec, ...]
    names: tuple[tuple[str, str], ...]  # (name, address); several addresses for one name are allowed

    @property
    def has_libvirt(self) -> bool:
        """Whether one of the machines is a libvirt host, which takes an image of its own."""
        return any(machine.kind == "kvm" for machine in self.machines)


def _mac(*parts: str) -> str:
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return "bc:24:11:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def _lab_nic(machine: str, number: int, bridge: str, role: str = "management") -> Nic:
    name = f"eth{number}"
    return Nic(name=name, mac=_mac(machine, name), bridge=bridge, port=f"{machine}-{name}", role=role)


def _one_host(shape: str, name: str, kind: Kind, address: str) -> Shape:
    """One outer host; the nested nodes are the program's to make."""
    nodes = tuple((f"proxmox{number:02}.{DOMAIN}", f"192.168.0.{184 + number}") for number in range(1, 10))
    members = tuple((CLUSTER_NAME, node) for _, node in nodes[:3])
    host = MachineSpec(name, kind, address, (_lab_nic(name, 0, OFFICE),))
    return Shape(shape, (OFFICE,), (host,), ((f"{name}.{DOMAIN}", address), *nodes, *members))


def _default() -> Shape:
    """The outer host runs Proxmox VE."""
    return _one_host("default", "virtual", "outer", "192.168.0.180")


def _libvirt() -> Shape:
    """The outer host is a plain Debian machine with libvirt; its card is a port of the bridge `br0`."""
    return _one_host("libvirt", "kvmhost", "kvm", "192.168.0.170")


def _witness() -> Shape:
    """The same with a plain Debian machine beside the outer host, for a QDevice's server."""
    default = _default()
    witness = MachineSpec("witness", "witness", "192.168.0.106", (_lab_nic("witness", 0, OFFICE),))
    names = ((f"witness.{DOMAIN}", witness.address), *default.names)
    return Shape("witness", default.bridges, (*default.machines, witness), names)


def _physical() -> Shape:
    """Three machines that already run Proxmox VE, two link networks, and a storage server."""
    machines = []
    for number in (1, 2, 3):
        name = f"pve{number}"
        nics = (
            _lab_nic(name, 0, OFFICE),
            _lab_nic(name, 1, "link0", "0"),
            _lab_nic(name, 2, "link1", "1"),
            _lab_nic(name, 3, "storage", "storage"),
        )
        storage = {"eth3": f"10.30.1.{100 + number}/24"}
        machines.append(MachineSpec(name, "existing", f"192.168.0.{100 + number}", nics, storage))
    server_nics = (_lab_nic("nas", 0, OFFICE), _lab_nic("nas", 3, "storage", "storage"))
    machines.append(MachineSpec("nas", "server", "192.168.0.105", server_nics, {"eth3": "10.30.1.5/24"}))
    names = tuple((f"{machine.name}.{DOMAIN}", machine.address) for machine in machines)
    members = tuple((CLUSTER_NAME, machine.address) for machine in machines[:3])
    return Shape("physical", (OFFICE, "link0", "link1", "storage"), tuple(machines), (*names, *members))


def _mixed() -> Shape:
    """Both kinds of outer hosts, with cards on link and storage networks; the one with libvirt has bridges on its cards already."""
    cards = ((1, "link0", "0"), (2, "link1", "1"), (3, "storage", "storage"))

    def host(name: str, kind: Kind, address: str, **more: dict[str, str]) -> MachineSpec:
        nics = (_lab_nic(name, 0, OFFICE), *(_lab_nic(name, *card) for card in cards))
        return MachineSpec(name, kind, address, nics, **more)

    first, second = _default(), _libvirt()
    bridges = {f"eth{number}": f"br{number}" for number, *_ in cards}
    addresses = {f"eth{number}": f"10.{number}0.1.2/24" for number, *_ in cards}
    virtual = host("virtual", "outer", first.machines[0].address)
    kvmhost = host("kvmhost", "kvm", second.machines[0].address, bridges=bridges, addresses=addresses)
    names = tuple(dict.fromkeys((*first.names, *second.names)))
    return Shape("mixed", (OFFICE, "link0", "link1", "storage"), (virtual, kvmhost), names)


SHAPES = {shape.name: shape for shape in (_default(), _witness(), _physical(), _libvirt(), _mixed())}
