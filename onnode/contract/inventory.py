"""What a stack file can say of a live cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnode.cluster.corosync import Conf, Quorum  # noqa: TC001 - `parse` resolves them


@dataclass(frozen=True)
class FoundInterface:
    """A network interface, as it is set up."""

    name: str
    addresses: list[str]  # IPv4, with prefix
    mtu: int


@dataclass(frozen=True)
class FoundGuest:
    """A guest of the cluster, from its file in /etc/pve.

    Attributes:
        memory_mib: its memory in MiB.
        obstacles: why HA could start it on no other node, in words.
        nodes: the only ones that have its storages, or copies of its disks; None: all of them.
    """

    kind: str  # "vm" or "ct"
    id: int
    node: str
    name: str
    tags: list[str] = field(default_factory=list)
    template: bool = False
    memory_mib: int = 0
    obstacles: list[str] = field(default_factory=list)
    nodes: list[str] | None = None


@dataclass(frozen=True)
class Inventory:
    """Step `inventory`: what a stack file can say of a member and of its cluster.

    Attributes:
        node: its name.
        pve_major: of the installed Proxmox VE.
        conf: the cluster's corosync.conf; None: the node is stand-alone, or /etc/pve does not run.
        quorum: what corosync says; None: it does not run.
        addresses: the management address of each node whose pmxcfs this one sees online, by name.
        host_keys: the SSH host key of each node that /etc/pve has, type and key, by name.
        witness_key: the SSH host key of the QDevice's server, as far as this node knows it.
        interfaces: the live ones.
        gateway: the default one.
        name_servers, domain: from /etc/resolv.conf, and from the node's own full name.
        watchdog: the kernel module that /etc/default/pve-ha-manager names; empty: none is named.
        storages, resources, rules, groups: the texts of storage.cfg and of HA's files.
    """

    node: str
    pve_major: int
    conf: Conf | None = None
    quorum: Quorum | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    host_keys: dict[str, str] = field(default_factory=dict)
    witness_key: str | None = None
    interfaces: list[FoundInterface] = field(default_factory=list)
    gateway: str | None = None
    name_servers: list[str] = field(default_factory=list)
    domain: str = ""
    watchdog: str = ""
    memory_mib: int = 0
    storages: str = ""
    resources: str = ""
    rules: str = ""
    groups: str = ""
    guests: list[FoundGuest] = field(default_factory=list)
