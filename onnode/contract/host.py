"""What is asked of an outer host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bridge:
    """An isolated bridge of the outer host, with its optional DHCP range."""

    name: str
    address: str  # the host's own address with prefix, "10.10.1.1/24"
    dhcp_start: str | None = None
    dhcp_end: str | None = None


@dataclass(frozen=True)
class Journal:
    """Remember once, before anything is changed, how the outer host was; `--restore` puts that back."""

    stack: str
    bridges: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BridgePorts:
    """The network cards that a bridge of the stack is to have."""

    bridge: str
    ports: list[str]


@dataclass(frozen=True)
class VerifyHost:
    """The outer host can carry this stack: virtualization, version, memory, nothing foreign in the way."""

    stack: str
    pve_major: int
    vmids: list[int]
    bridges: list[Bridge]
    memory_mib: int
    iso_path: str | None = None  # set when the installer ISO is the user's own file on the host
    ports: list[BridgePorts] = field(default_factory=list)


@dataclass(frozen=True)
class KvmNested:
    """Nested virtualization is on now and after a reboot, on Intel and on AMD (F22)."""

    enabled: bool = True


@dataclass(frozen=True)
class Dhcp:
    """One dnsmasq per bridge that has a range, as a systemd unit of ours; no default route is offered."""

    stack: str
    bridges: list[Bridge]


@dataclass(frozen=True)
class NfsExport:
    """A directory of the outer host exported to the storage network."""

    stack: str
    path: str
    client_network: str  # "10.30.1.0/24"


@dataclass(frozen=True)
class InstallNode:
    """Install one nested node unattended on an existing, empty VM and wait until it answers with its pinned key."""

    stack: str
    vmid: int
    name: str
    base_iso_path: str
    iso_storage: str  # datastore that takes the node's own ISO, removed again after the installation
    answer: dict[str, Any]  # the answer file's content, nested tables as dicts
    first_boot: str  # script text, run once by the installed system
    ssh_address: str
    ssh_host_key: str  # public line the installed node must present, "ecdsa-sha2-nistp256 AAAA…"
    timeout_s: int


@dataclass(frozen=True)
class VmPower:
    """The VM of an installed nested node is not powered off, and its node answers with its pinned key."""

    stack: str
    vmid: int
    name: str
    ssh_address: str
    ssh_host_key: str  # as of InstallNode
    timeout_s: int
