"""What must be reached is reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config import topology
from config.errors import Problem
from config.model import ContainerGuest, LibvirtBridge, NestedNode, ProxmoxVeHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ipaddress import IPv4Network

    from config.model import Bridge, Config

NESTED_BRIDGE = "vmbr0"  # Proxmox' installer makes it, and nothing here makes another one


def api_endpoints(config: Config) -> Iterator[Problem]:
    """The cluster's API is at its members, an outer host's API at that host."""
    others = _others(config)
    nodes = _names(config, {node.name: str(node.address) for node in config.nodes})
    endpoint = _host(config.cluster.api.endpoint)
    if endpoint in others and endpoint not in nodes:
        message = f"{endpoint} is {others[endpoint]}, and no member of the cluster"
        fix = f"use a name or an address of the members: https://{config.nodes[0].address}:8006"
        yield Problem("cluster.api.endpoint", message, fix)
    for h, host in topology.proxmox_ve_hosts(config):
        named = _host(host.endpoint)
        known = {**others, **nodes}
        if known[named] != f"the outer host {host.name}":
            message = f"{named} is {known[named]}, and not {host.name}"
            yield Problem(f"outerHosts[{h}].endpoint", message, f"use https://{host.address}:8006, or its name")


def named_endpoints(config: Config) -> Iterator[Problem]:
    """An endpoint names another machine; under `pinned` by what Proxmox VE's own certificates hold: of addresses, the node's."""
    tls = {host.name: host.tls for _, host in topology.proxmox_ve_hosts(config)} | {"": config.cluster.api.tls}
    machines = {host.name: {host.address} for host in config.outer_hosts} | {
        "": {node.address for node in config.nodes}
    }
    for path, meant, name in topology.endpoints(config):
        whose = meant or "a member of the cluster"
        fix = f"use https://{min(machines[meant])}:8006, or a name of {whose}"
        address = topology.ipv4(name)
        if name == "localhost":
            yield Problem(path, "localhost is a name that every machine has for itself", fix)
        elif address is None and name.rpartition(".")[2].isdigit():
            yield Problem(path, f"{name} is no address, and no name ends in a number", fix)
        elif address and address not in machines[meant] and tls[meant] == "pinned":
            message = f"{address} is not the management address of {whose}, and so in no certificate of Proxmox VE"
            yield Problem(path, message, f"{fix}; or tls: verified, where a certificate of your own holds the address")


def _host(endpoint: str) -> str:
    return (urlsplit(endpoint).hostname or "").lower()


def _names(config: Config, addresses: dict[str, str]) -> dict[str, str]:
    """What machines answer to: name, full name, address; with the name."""
    domain = config.management_network.domain
    return {known: name for name, address in addresses.items() for known in (name, f"{name}.{domain}", address)}


def _others(config: Config) -> dict[str, str]:
    """What is known not to be a member."""
    found = {str(config.management_network.gateway): "the gateway"}
    for host in config.outer_hosts:
        found |= dict.fromkeys(_names(config, {host.name: str(host.address)}), f"the outer host {host.name}")
        if isinstance(host, ProxmoxVeHost):
            found[_host(host.endpoint)] = f"the outer host {host.name}"
        found |= {str(bridge.address.ip): f"the outer host {host.name}" for bridge in host.bridges if bridge.managed}
    for guest in config.guests:
        found[guest.name] = f"the guest {guest.name}"
        if isinstance(guest, ContainerGuest) and guest.address != "dhcp":
            found[str(guest.address.ip)] = f"the guest {guest.name}"
    return found


def across_machines(config: Config) -> Iterator[Problem]:
    """Nodes on several machines meet over bridges with ports; one without is a network inside its host."""
    for bridges, machines in _shared_networks(config).values():
        for path, bridge, host in bridges:
            others = sorted(machines - {host})
            if others and bridge.managed and not bridge.ports:
                message = (
                    f"{bridge.name} has no ports, so nodes on {host} cannot reach those on {topology.some(others)}"
                )
                card = "the network card that leads there"
                by_hand = f"make a bridge with {card} on {host} yourself, and set managed: false here"
                yield Problem(
                    f"{path}.ports", message, by_hand if isinstance(bridge, LibvirtBridge) else f"name {card}"
                )


def _shared_networks(config: Config) -> dict[IPv4Network, tuple[list[tuple[str, Bridge, str]], set[str]]]:
    """By network: its bridges with their hosts, and the machines whose nodes have an address in it."""
    found: dict[IPv4Network, tuple[list[tuple[str, Bridge, str]], set[str]]] = {}
    for h, host in enumerate(config.outer_hosts):
        for b, bridge in enumerate(host.bridges):
            bridges, _ = found.setdefault(bridge.address.network, ([], set()))
            bridges.append((f"outerHosts[{h}].bridges[{b}]", bridge, host.name))
    for node in config.nodes:
        machine = node.host if isinstance(node, NestedNode) else node.name
        for address in (*topology.link_addresses(node), *topology.network_addresses(node)):
            for network, (_, machines) in found.items():
                if address in network and address != node.address:
                    machines.add(machine)
    return found


def guest_bridges(config: Config) -> Iterator[Problem]:
    """A guest's bridge is on each node that it may run on. A nested node has one; of an existing one nothing is known."""
    nested = {node.name for node in config.nodes if isinstance(node, NestedNode)}
    where = [
        (f"templates[{t}].bridge", template.bridge, {template.node}) for t, template in enumerate(config.templates)
    ]
    for g, guest in topology.made_guests(config):
        allowed = set(guest.ha.nodes) if guest.ha.strict else {node.name for node in config.nodes}
        where.append((f"guests[{g}].bridge", guest.bridge, allowed))
    for path, bridge, allowed in where:
        lacking = sorted(allowed & nested)
        if bridge != NESTED_BRIDGE and lacking:
            message = f"{topology.some(lacking)} have no {bridge}: a nested node has {NESTED_BRIDGE} only"
            yield Problem(path, message, f"use {NESTED_BRIDGE}")


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    api_endpoints,
    named_endpoints,
    across_machines,
    guest_bridges,
)
