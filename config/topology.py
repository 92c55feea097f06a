"""What follows from the configuration: which network card of which node is on which bridge, with which address."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config.model import ExistingGuest, ExistingNode, NestedNode, NfsStorage, ProxmoxVeHost
from onnode.cluster.corosync import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.model import Bridge, Config, Guest, MadeGuest, OuterHost, WitnessMachine

SHOWN = 5
FIRST_LINKS = 2
PROXMOX_OUI = "BC:24:11"


@dataclass(frozen=True, kw_only=True)
class NodeAddress:
    """An address that a node carries beside its management address, found by MAC (nested) or name (existing)."""

    address: IPv4Interface
    mtu: int
    mac: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Nic(NodeAddress):
    """A network card of a nested node; the first one is on the management bridge."""

    bridge: str
    mac: str


def some(names: Sequence[str]) -> str:
    """A few of many names."""
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def endpoints(config: Config) -> list[tuple[str, str, str]]:
    """Where an API is named: the key, what is meant by it, and the host."""
    named = [(f"outerHosts[{h}].endpoint", host.name, host.endpoint) for h, host in proxmox_ve_hosts(config)]
    named.append(("cluster.api.endpoint", "", config.cluster.api.endpoint))
    return [(path, meant, (urlsplit(endpoint).hostname or "")) for path, meant, endpoint in named]


def proxmox_ve_hosts(config: Config) -> list[tuple[int, ProxmoxVeHost]]:
    """The outer hosts that run Proxmox VE, each with its place in the list."""
    return [(place, host) for place, host in enumerate(config.outer_hosts) if isinstance(host, ProxmoxVeHost)]


def image_directory(host: OuterHost, stack: str) -> str:
    """Where a stack's installer image is on an outer host; libvirt has the nodes' disks there, too, in a pool of the stack's own."""
    return host.iso_directory if isinstance(host, ProxmoxVeHost) else f"{host.directory}/{stack}"


def ipv4(text: str) -> IPv4Address | None:
    """The address that a text is, if it is one."""
    with contextlib.suppress(ValueError):
        return IPv4Address(text)
    return None


def witness_machine(config: Config) -> WitnessMachine | None:
    """The machine that is described for nothing but the QDevice's server."""
    return config.cluster.qdevice.machine if config.cluster.qdevice else None


def witness(config: Config) -> OuterHost | WitnessMachine | None:
    """The machine on which the QDevice's server runs; None without a QDevice."""
    qdevice = config.cluster.qdevice
    if qdevice is None:
        return None
    return qdevice.machine or next(host for host in config.outer_hosts if host.name == qdevice.host)


def device(config: Config) -> Device | None:
    """The QDevice that the cluster has; none while the number of nodes is odd, for which Proxmox VE sets up none."""
    qdevice, server = config.cluster.qdevice, witness(config)
    if qdevice is None or server is None or len(config.nodes) % 2:
        return None
    return Device(str(server.address), device_votes(qdevice.algorithm), qdevice.algorithm, qdevice.tls)


def device_votes(algorithm: str) -> int | None:
    """The votes that corosync.conf gives a QDevice; None with lms, where they follow those of the nodes (corosync-qdevice(8))."""
    return 1 if algorithm == "ffsplit" else None


def host_of(config: Config, node: NestedNode) -> OuterHost | None:
    """The outer host that carries a node."""
    return next((host for host in config.outer_hosts if host.name == node.host), None)


def bridge_for(host: OuterHost, address: IPv4Address) -> Bridge | None:
    """The bridge of a host whose network has the address."""
    return next((bridge for bridge in host.bridges if address in bridge.address.network), None)


def mac_address(node: NestedNode, bridge: str) -> str:
    """The configured MAC, or one derived from node and bridge under Proxmox's own prefix, always the same."""
    if bridge in node.macs:
        return node.macs[bridge].upper()
    digest = hashlib.sha256(f"{node.name}/{bridge}".encode()).digest()
    return ":".join([PROXMOX_OUI, *(f"{byte:02X}" for byte in digest[:3])])


def management_interface(config: Config, address: IPv4Address) -> IPv4Interface:
    """A management address with its prefix."""
    return IPv4Interface(f"{address}/{config.management_network.subnet.prefixlen}")


def nics(config: Config, node: NestedNode) -> list[Nic]:
    """The cards of a nested node in their order: management, two links, further networks, further links; one per bridge.

    A card that moves is taken out of a running VM for a moment: what is added to a live cluster comes last.
    """
    host = host_of(config, node)
    if host is None:
        return []
    management = management_interface(config, node.address)
    mac = mac_address(node, host.management_bridge)
    cards = [Nic(bridge=host.management_bridge, mac=mac, address=management, mtu=1500)]
    for address in (*node.links[:FIRST_LINKS], *node.networks, *node.links[FIRST_LINKS:]):
        bridge = bridge_for(host, address)
        if address != node.address and bridge is not None:
            on_bridge = IPv4Interface(f"{address}/{bridge.address.network.prefixlen}")
            mac = mac_address(node, bridge.name)
            cards.append(Nic(bridge=bridge.name, mac=mac, address=on_bridge, mtu=bridge.mtu))
    return cards


def link_numbers(config: Config) -> list[int]:
    """Corosync's number of each of cluster.links, in their order."""
    return [place if link.number is None else link.number for place, link in enumerate(config.cluster.links)]


def link_addresses(node: NestedNode | ExistingNode) -> list[IPv4Address]:
    """A node's address on each link."""
    if isinstance(node, NestedNode):
        return list(node.links)
    return [link.address for link in node.links]


def network_addresses(node: NestedNode | ExistingNode) -> list[IPv4Address]:
    """A node's addresses on further networks."""
    if isinstance(node, NestedNode):
        return list(node.networks)
    return [network.address.ip for network in node.networks]


def node_addresses(config: Config, node: NestedNode | ExistingNode) -> Sequence[NodeAddress]:
    """The addresses that a node carries beside its management address."""
    if isinstance(node, NestedNode):
        return nics(config, node)[1:]
    links = [
        NodeAddress(address=IPv4Interface(f"{end.address}/{link.subnet.prefixlen}"), mtu=link.mtu, name=end.interface)
        for end, link in zip(node.links, config.cluster.links, strict=False)
        if end.interface is not None
    ]
    return links + [NodeAddress(address=network.address, mtu=1500, name=network.interface) for network in node.networks]


def link_bridges(config: Config, number: int) -> dict[str, str]:
    """The bridge that carries a link, by outer host."""
    found = {}
    for node in config.nodes:
        host = host_of(config, node) if isinstance(node, NestedNode) else None
        addresses = link_addresses(node)
        if host is None or number >= len(addresses):
            continue
        bridge = bridge_for(host, addresses[number])
        found[host.name] = bridge.name if bridge else host.management_bridge
    return found


def link_cards(config: Config, number: int) -> dict[str, list[str]]:
    """The network cards and bonds under a link, by machine: of an outer host's bridge, of an existing node's interface.

    VLANs of one card are that card. A machine on which nothing is said of them is left out.
    """
    carrying = link_bridges(config, number)
    ports = {
        host.name: bridge.ports
        for host in config.outer_hosts
        for bridge in host.bridges
        if bridge.ports and carrying.get(host.name) == bridge.name
    }
    for node in config.nodes:
        interface = node.links[number].interface if isinstance(node, ExistingNode) else None
        if interface is not None:
            ports[node.name] = (interface,)
    return {machine: sorted({port.partition(".")[0] for port in used}) for machine, used in ports.items()}


def has_existing_nodes(config: Config) -> bool:
    """Whether the cluster has nodes that this program did not make."""
    return any(isinstance(node, ExistingNode) for node in config.nodes)


def keeps_guests(config: Config) -> bool:
    """Whether `pulumi destroy` leaves guests, HA and storage in place."""
    if config.cluster.on_destroy is not None:
        return config.cluster.on_destroy == "keep"
    return has_existing_nodes(config)


def shared_storages(config: Config) -> set[str]:
    """Names of the storages whose content every node sees."""
    return {storage.name for storage in config.storages if isinstance(storage, NfsStorage) or storage.shared}


def made_guests(config: Config) -> list[tuple[int, MadeGuest]]:
    """The guests that the stack makes, each with its place in the list."""
    return [(place, guest) for place, guest in enumerate(config.guests) if not isinstance(guest, ExistingGuest)]


def guest_type(guest: Guest) -> str:
    """What it is: "vm" or "container"."""
    return guest.type if isinstance(guest, ExistingGuest) else guest.kind


def sid(guest: Guest) -> str:
    """What HA calls it: "vm:200", "ct:300"."""
    return f"{'vm' if guest_type(guest) == 'vm' else 'ct'}:{guest.vmid}"


def stays(config: Config, guest: MadeGuest) -> bool:
    """Whether a guest outlives its description, and the stack."""
    return guest.keep or keeps_guests(config)


def preferred_nodes(guest: Guest) -> list[str]:
    """The nodes with the highest priority; empty: none is preferred."""
    top = max(guest.ha.nodes.values(), default=0)
    return sorted(name for name, priority in guest.ha.nodes.items() if priority == top)


def placement_nodes(guest: Guest) -> list[str]:
    """The only nodes on which a guest may run; empty: any."""
    return sorted(guest.ha.nodes) if guest.ha.strict else []
