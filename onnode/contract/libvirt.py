"""What is asked of an outer host that runs libvirt."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnode.contract.host import Bridge  # noqa: TC001 - documents are read by these types


@dataclass(frozen=True)
class VerifyLibvirt:
    """The outer host can carry this stack: virtualization, memory, room on its disk, nothing foreign in the way."""

    stack: str
    vms: dict[int, str]  # the numbers of the stack's VMs, each with its name
    bridges: list[Bridge]  # which the program makes
    existing_bridges: list[str]  # which must be there
    memory_mib: int
    disk_gib: int  # what the installations write; disks have holes until nodes fill them
    directory: str  # of images and disks; it need not be there yet
    iso_path: str | None = None  # set when the installer ISO is the user's own file on the host


@dataclass(frozen=True)
class LibvirtNetwork:
    """A bridge of the stack, as an isolated network of libvirt, with libvirt's own DHCP where it has a range."""

    stack: str
    bridge: Bridge
    mtu: int = 1500


@dataclass(frozen=True)
class LibvirtPool:
    """The directory of the stack's images and disks, as a pool of libvirt."""

    stack: str
    directory: str


@dataclass(frozen=True)
class InstallerImage:
    """The installer's image, downloaded by the host itself, and with that checksum."""

    stack: str
    url: str
    checksum: str  # of SHA-256, 64 hexadecimal digits
    path: str


@dataclass(frozen=True)
class DomainCard:
    """A network card of a VM."""

    bridge: str
    mac: str
    mtu: int = 1500


@dataclass(frozen=True)
class LibvirtDomain:
    """The VM of a nested node, which an installation starts."""

    stack: str
    host: str  # by which the control machine calls the outer host
    vmid: int  # libvirt has no numbers: it is written into the domain's metadata
    name: str
    cores: int
    memory_mib: int
    disk_gib: int
    cpu: str  # "host": passed through; else a model of libvirt
    directory: str  # of its disk
    cards: list[DomainCard] = field(default_factory=list)
