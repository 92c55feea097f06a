"""What policies may judge: plain properties, known at preview, with the keys of the stack file."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

from config import topology
from config.model import ContainerGuest, ExistingGuest, NestedNode, NfsStorage, ProxmoxVeHost
from onnode.cluster.corosync import expected_votes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from config.model import Bridge, Config, ExistingNode, Guest, MadeGuest, OuterHost, Storage

SECRET_NAME = re.compile(r"password|passphrase|secret|token|credential|private.?key", re.IGNORECASE)
SWITCH = re.compile(r"true|false", re.IGNORECASE)
NUMBER = re.compile(r"-?[0-9.]+")


def plain_secrets(settings: Mapping[str, str], secret_keys: Collection[str]) -> list[str]:
    """Paths of settings, of any namespace, that by their names hold a secret and are not encrypted; sorted.

    Args:
        settings: the engine's flat map of texts; what has parts is JSON.
        secret_keys: the keys among them that are stored encrypted, wholly or in part.
    """
    found: list[str] = []
    for key, text in settings.items():
        if key not in secret_keys:
            namespace, _, name = key.rpartition(":")
            found += (f"{namespace}:{path}" if namespace else path for path in _secrets(name, name, _parts(text)))
    return sorted(found)


def _parts(text: str) -> Any:  # noqa: ANN401 - JSON values
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (dict, list)) else text


def _secrets(path: str, name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(f"{path}.{key}", key, item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _secrets(f"{path}[{number}]", name, item)
    elif SECRET_NAME.search(path) and _is_secret(name, str(value or "")):
        yield path


def _is_secret(name: str, text: str) -> bool:
    """Of numbers only what is called a secret itself: a password of digits is one, the minutes that a token lives are not."""
    named = SECRET_NAME.search(name)
    if NUMBER.fullmatch(text):
        return named is not None and named.end() == len(name)
    return bool(text) and not SWITCH.fullmatch(text)


def policed_design(config: Config, plain_secrets: Collection[str]) -> dict[str, Any]:
    """The whole design."""
    return {
        "pveMajor": config.pve_major,
        "managementNetwork": {
            "subnet": str(config.management_network.subnet),
            "gateway": str(config.management_network.gateway),
        },
        "outerHosts": [_outer_host(host) for host in config.outer_hosts],
        "nodes": [_node(config, node) for node in config.nodes],
        "cluster": policed_cluster(config),
        "storages": [_storage(storage) for storage in config.storages],
        "templates": [
            {
                "name": template.name,
                "vmid": template.vmid,
                "node": template.node,
                "storage": template.storage,
                "kvm": template.kvm,
            }
            for template in config.templates
        ],
        "guests": [_guest(guest) for guest in config.guests],
        "maintenance": {"repository": config.maintenance.repository},
        "protectNodes": config.protect_nodes,
        "keepsGuests": topology.keeps_guests(config),
        "plainSecrets": list(plain_secrets),
    }


def _outer_host(host: OuterHost) -> dict[str, Any]:
    known = {
        "name": host.name,
        "address": str(host.address),
        "nested": host.nested,
        "cores": host.cores,
        "memoryMib": host.memory_mib,
        "diskGib": host.disk_gib,
        "bridges": [_bridge(bridge) for bridge in host.bridges],
    }
    if isinstance(host, ProxmoxVeHost):
        return known | {"repository": host.repository, "user": host.user, "tls": host.tls}
    return known | {"kind": host.kind}


def _bridge(bridge: Bridge) -> dict[str, Any]:
    known = {
        "name": bridge.name,
        "address": str(bridge.address.ip),
        "subnet": str(bridge.address.network),
    }
    dhcp = {"start": str(bridge.dhcp.start), "end": str(bridge.dhcp.end)} if bridge.dhcp else None
    return known | ({"dhcp": dhcp} if dhcp else {}) | ({} if bridge.managed else {"managed": False})


def _node(config: Config, node: NestedNode | ExistingNode) -> dict[str, Any]:
    known: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "nodeId": node.node_id,
        "votes": node.votes,
        "address": str(node.address),
        "networks": [str(address) for address in topology.network_addresses(node)],
        "watchdog": node.watchdog,
    }
    if node.memory_mib is not None:
        known["memoryMib"] = node.memory_mib
    if isinstance(node, NestedNode):
        known |= {
            "host": node.host,
            "vmid": node.vmid,
            "cpuType": node.cpu_type,
            "cores": node.cores,
            "diskGib": node.disk_gib,
            "macs": {nic.bridge: nic.mac for nic in topology.nics(config, node)},
        }
    return known


def policed_cluster(config: Config) -> dict[str, Any]:
    """The cluster's share; the CorosyncCluster component carries the same."""
    cluster = config.cluster
    known: dict[str, Any] = {
        "name": cluster.name,
        "seed": cluster.seed,
        "votes": expected_votes(config.nodes, topology.device(config)),
        "links": [
            {
                "number": number,
                "subnet": str(link.subnet),
                "priority": link.priority,
                "cards": topology.link_cards(config, place),
                "addresses": {node.name: str(topology.link_addresses(node)[place]) for node in config.nodes},
            }
            for place, (number, link) in enumerate(zip(topology.link_numbers(config), cluster.links, strict=True))
        ],
        "api": {"user": cluster.api.user, "tls": cluster.api.tls},
        "latencyMaxMs": cluster.latency_max_ms,
    }
    if totem := cluster.totem.model_dump(mode="json", by_alias=True, exclude_none=True):
        known["totem"] = totem
    if cluster.qdevice:
        known["qdevice"] = cluster.qdevice.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"machine": {"host_key"}}
        )
    if cluster.options.migration_network:
        known["migrationNetwork"] = str(cluster.options.migration_network)
    if cluster.options.ha_shutdown_policy:
        known["haShutdownPolicy"] = cluster.options.ha_shutdown_policy
    return known


def _storage(storage: Storage) -> dict[str, Any]:
    if isinstance(storage, NfsStorage):
        return {"name": storage.name, "kind": storage.kind, "shared": True, "server": str(storage.server)}
    return {"name": storage.name, "kind": storage.kind, "shared": storage.shared}


def _guest(guest: Guest) -> dict[str, Any]:
    known: dict[str, Any] = {
        "name": guest.name,
        "kind": topology.guest_type(guest),
        "vmid": guest.vmid,
        "ha": {"state": guest.ha.state, "strict": guest.ha.strict, "nodes": sorted(guest.ha.nodes)},
    }
    if guest.memory_mib is not None:
        known["memoryMib"] = guest.memory_mib
    if (preferred := topology.preferred_nodes(guest)) != known["ha"]["nodes"]:
        known["ha"]["preferred"] = preferred
    return known | ({"existing": True} if isinstance(guest, ExistingGuest) else _made(guest))


def _made(guest: MadeGuest) -> dict[str, Any]:
    """What only a guest has that the stack makes."""
    known: dict[str, Any] = {
        "node": guest.node,
        "storage": guest.storage,
        "bridge": guest.bridge,
        "cores": guest.cores,
    }
    if guest.disk_gib is not None:
        known["diskGib"] = guest.disk_gib
    if guest.keep:
        known["keep"] = True
    if isinstance(guest, ContainerGuest) and isinstance(guest.address, IPv4Interface):
        known["address"] = str(guest.address.ip)
    return known
