"""What libvirt has defined: domains, networks and pools, as its own files have them, and which stack made them.

It writes a file for each of them and reads them when it starts. Whoever reads them as well needs neither the daemon nor its client,
and finds things of others even before libvirt's packages are put right. A file that cannot be read may be anybody's.
"""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from onnode.system import pve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from onnode.system.machine import ThisMachine

T = TypeVar("T")

DOMAINS = "/etc/libvirt/qemu"
LIVE = "/run/libvirt/qemu"  # of the domains that run, as they are now
NETWORKS = "/etc/libvirt/qemu/networks"
POOLS = "/etc/libvirt/storage"
AUTOSTART = "autostart"  # below each of these, with a link for whatever starts with the daemon
NAMESPACE = "urn:nested-pve-ha"
MARK = f"{{{NAMESPACE}}}stack"
LIVE_STATE = "domstatus"  # around the domain in the file of what it has while it runs
KIB = {"b": 1 / 1024, "KiB": 1, "MiB": 1024, "GiB": 1024**2}
MTU_DEFAULT = 1500
HOST = "host"  # the processor of the host, passed through
NESTING = ("svm", "vmx")


@dataclass(frozen=True)
class Card:
    """A network card."""

    mac: str
    bridge: str  # or the network of libvirt: this product gives both one name
    mtu: int = MTU_DEFAULT


@dataclass(frozen=True)
class Hardware:
    """What a domain is given at its next start."""

    cores: int = 0
    memory_mib: int = 0
    cpu: str = ""  # "host", or a model
    nesting: str = ""  # the flag of virtualization that is demanded in addition to the model
    cards: list[Card] = field(default_factory=list)


@dataclass(frozen=True)
class Domain:
    """A VM of libvirt."""

    name: str
    uuid: str = ""
    stack: str | None = None
    vmid: int | None = None
    hardware: Hardware = field(default_factory=Hardware)
    disk: str = ""  # the file of its first disk
    files: list[str] = field(default_factory=list)  # of all its disks
    drive: str = ""  # the target of its CD drive
    medium: str = ""  # the image in that
    readable: bool = True
    taps: dict[str, str] = field(
        default_factory=dict
    )  # while it runs: the interfaces of its cards here, each with its bridge
    transient: bool = False  # it runs without a definition, and ends when it is powered off

    @property
    def tags(self) -> list[str]:
        """Whose it is, as Proxmox VE would have it."""
        return [] if self.stack is None else [pve.TAG, pve.stack_tag(self.stack)]

    def on(self, bridge: str) -> bool:
        """Whether one of its cards is in that bridge, or network."""
        return any(card.bridge == bridge for card in self.hardware.cards)


@dataclass(frozen=True)
class Network:
    """A network of libvirt."""

    name: str
    uuid: str = ""
    stack: str | None = None
    bridge: str = ""
    addresses: list[str] = field(default_factory=list)  # IPv4, with prefix
    ranges: list[str] = field(default_factory=list)  # of DHCP, as "FIRST LAST"
    mtu: int = MTU_DEFAULT
    isolated: bool = True  # it leads nowhere, and names are not looked up in it
    readable: bool = True


@dataclass(frozen=True)
class Pool:
    """A pool of libvirt."""

    name: str
    path: str = ""
    readable: bool = True


def parse_domain(text: str, name: str) -> Domain:
    """Read a domain's file, or that of its live state."""
    root = _root(text, "domain")
    if root is None:
        return Domain(name, readable=False)
    stack, vmid = _mark(root)
    disks = root.findall("devices/disk")
    disk = next((one for one in disks if one.get("device", "disk") == "disk"), None)
    drive = next((one for one in disks if one.get("device") == "cdrom"), None)
    return Domain(
        root.findtext("name", name),
        root.findtext("uuid", ""),
        stack,
        _number(vmid) or None,
        _hardware(root),
        _of(disk, "source", "file"),
        [path for one in disks if one is not drive and (path := _of(one, "source", "file"))],
        _of(drive, "target", "dev"),
        _of(drive, "source", "file"),
        taps={tap: card(one).bridge for one in root.findall("devices/interface") if (tap := _of(one, "target", "dev"))},
    )


def _hardware(root: ET.Element) -> Hardware:
    memory, cpu = root.find("memory"), root.find("cpu")
    mode = "" if cpu is None else cpu.get("mode", "")
    kib = 0.0 if memory is None else _number(memory.text) * KIB.get(memory.get("unit", "KiB"), 1)
    required = [one.get("name", "") for one in root.findall("cpu/feature") if one.get("policy") == "require"]
    return Hardware(
        _number(root.findtext("vcpu")),
        round(kib / 1024),
        HOST if mode == "host-passthrough" else root.findtext("cpu/model", mode),
        next((flag for flag in NESTING if flag in required), ""),
        [card(one) for one in root.findall("devices/interface")],
    )


def card(one: ET.Element) -> Card:
    """Read a network card."""
    bridge = _of(one, "source", "bridge") or _of(one, "source", "network")
    return Card(_of(one, "mac", "address").lower(), bridge, _mtu(one))


def _mtu(of: ET.Element) -> int:
    return _number(_of(of, "mtu", "size")) or MTU_DEFAULT


def _number(text: str | None) -> int:
    """A whole number; 0 for anything else, which is nothing that this product asks for."""
    return int(text) if text is not None and text.strip().isdecimal() else 0


def parse_network(text: str, name: str) -> Network:
    """Read a network's file, or what `virsh net-dumpxml` prints."""
    root = _root(text, "network")
    if root is None:
        return Network(name, readable=False)
    ips = [one for one in root.findall("ip") if one.get("family", "ipv4") == "ipv4"]
    return Network(
        root.findtext("name", name),
        root.findtext("uuid", ""),
        _mark(root)[0],
        _of(root, "bridge", "name"),
        [_address(one) for one in ips],
        [f"{one.get('start')} {one.get('end')}" for ip in ips for one in ip.findall("dhcp/range")],
        _mtu(root),
        root.find("forward") is None and _of(root, "dns", "enable") == "no",
    )


def _address(ip: ET.Element) -> str:
    width = ip.get("prefix") or ip.get("netmask") or "32"
    try:
        return ipaddress.IPv4Interface(f"{ip.get('address')}/{width}").with_prefixlen
    except ValueError:
        return ""


def parse_pool(text: str, name: str) -> Pool:
    """Read a pool's file."""
    root = _root(text, "pool")
    if root is None:
        return Pool(name, readable=False)
    return Pool(root.findtext("name", name), root.findtext("target/path", ""))


def _root(text: str, tag: str) -> ET.Element | None:
    try:
        root = ET.fromstring(text)  # noqa: S314 - a file of root's own, written by libvirt
    except (ET.ParseError, UnicodeEncodeError):
        return None
    if root.tag == tag:
        return root
    return root.find(tag) if root.tag == LIVE_STATE else None


def _of(element: ET.Element | None, child: str, attribute: str) -> str:
    found = None if element is None else element.find(child)
    return "" if found is None else found.get(attribute, "")


def _mark(root: ET.Element) -> tuple[str | None, str]:
    found = root.find(f"metadata/{MARK}")
    return (None, "") if found is None else (found.get("name"), found.get("vmid", ""))


def domains(machine: ThisMachine) -> list[Domain]:
    """All domains that are defined, and those that run without a definition."""
    return as_marked(_all(machine, DOMAINS, parse_domain), live(machine))


def live(machine: ThisMachine) -> list[Domain]:
    """The domains that run, each with what it has now: also what was only plugged in."""
    return _all(machine, LIVE, parse_domain)


def as_marked(defined: Iterable[Domain], running: Iterable[Domain]) -> list[Domain]:
    """The defined domains and those that only run, where one mark is one domain's; pure.

    Who clones a VM clones its metadata. Of several with one mark only the one with the disk of that mark has it.
    """
    found = {one.name: replace(one, transient=True) for one in running if one.readable}
    found |= {one.name: one for one in defined}
    marked: dict[tuple[str | None, int | None], Domain] = {}
    for one in found.values():
        before = marked.get((one.stack, one.vmid))
        if before is None or (_has_own_disk(one) and not _has_own_disk(before)):
            marked[one.stack, one.vmid] = one
    return [
        one if one.vmid is None or marked[one.stack, one.vmid] is one else replace(one, stack=None, vmid=None)
        for one in found.values()
    ]


def disk_name(stack: str, vmid: int) -> str:
    """The name of a VM's disk in its stack's directory."""
    return f"{stack}-{vmid}.raw"


def _has_own_disk(one: Domain) -> bool:
    return one.stack is not None and one.disk.rpartition("/")[2] == disk_name(one.stack, one.vmid or 0)


def networks(machine: ThisMachine) -> list[Network]:
    """All networks that have a file."""
    return _all(machine, NETWORKS, parse_network)


def pools(machine: ThisMachine) -> list[Pool]:
    """All pools that have a file."""
    return _all(machine, POOLS, parse_pool)


def _all(machine: ThisMachine, directory: str, parse: Callable[[str, str], T]) -> list[T]:
    names = [name for name in machine.names(directory) if name.endswith(".xml")]
    texts = {name: machine.read(f"{directory}/{name}") for name in names}
    return [parse(text, name.removesuffix(".xml")) for name, text in texts.items() if text is not None]


def starts_with_the_daemon(machine: ThisMachine, directory: str, name: str) -> bool:
    """Whether that domain, network or pool is started when the host boots."""
    return f"{name}.xml" in machine.names(f"{directory}/{AUTOSTART}")
