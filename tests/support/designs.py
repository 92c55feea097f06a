"""The stack file of a design: what somebody would have written for the program to register these facts."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING, Any

from tests.support.program import host_key

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORT = "/srv/pve-shared"
STORAGE_INTERFACE = "eth3"
SAME = ("cores", "memoryMib", "diskGib", "nested", "repository", "name", "user", "tls", "address")
OF_NODE = ("name", "kind", "nodeId", "votes", "address", "watchdog", "memoryMib")
OF_NESTED = ("host", "vmid", "cpuType", "cores", "diskGib", "networks")
OF_GUEST = ("name", "kind", "vmid", "node", "storage", "bridge", "memoryMib", "cores")


def described(design: Mapping[str, Any]) -> dict[str, Any]:
    """Keys without prefix, values plain. MAC addresses are left to the program."""
    cluster, storages = design["cluster"], [_storage(storage) for storage in design["storages"]]
    return {
        "pveMajor": design["pveMajor"],
        "managementNetwork": {**design["managementNetwork"], "dns": "192.168.0.1", "domain": "lab.internal"},
        "outerHosts": [_outer_host(host, design) for host in design["outerHosts"]],
        "installation": {"mailto": "root@lab.internal"},
        "maintenance": design["maintenance"],
        "protectNodes": design["protectNodes"],
        "nodes": [_node(node, cluster["links"]) for node in design["nodes"]],
        "cluster": _cluster(cluster, keeps=design["keepsGuests"]),
        "storages": storages,
        "templates": [dict(template) for template in design["templates"]],
        "guests": [_guest(guest, design["templates"][0]["name"]) for guest in design["guests"]],
    }


def _cluster(cluster: Mapping[str, Any], *, keeps: bool) -> dict[str, Any]:
    return {
        **{key: cluster[key] for key in ("name", "seed", "latencyMaxMs")},
        "links": [{key: link[key] for key in ("subnet", "priority") if key in link} for link in cluster["links"]],
        "api": {**cluster["api"], "endpoint": "https://pve.lab.internal:8006"},
        **({"qdevice": _qdevice(cluster["qdevice"])} if "qdevice" in cluster else {}),
        "options": {key: cluster[key] for key in ("migrationNetwork", "haShutdownPolicy") if key in cluster},
        "onDestroy": "keep" if keeps else "remove-guests",
    }


def _qdevice(qdevice: Mapping[str, Any]) -> dict[str, Any]:
    machine = qdevice.get("machine")
    return {**qdevice, **({"machine": machine | {"hostKey": host_key(machine["name"])}} if machine else {})}


def _outer_host(host: Mapping[str, Any], design: Mapping[str, Any]) -> dict[str, Any]:
    bridges = [_bridge(bridge, host["name"], design["cluster"]["links"]) for bridge in host["bridges"]]
    servers = {storage.get("server") for storage in design["storages"]}
    exporting = [bridge["subnet"] for bridge in host["bridges"] if bridge["address"] in servers]
    return {
        **{key: host[key] for key in SAME},
        "endpoint": f"https://{host['name']}.lab.internal:8006",
        "installer": {"path": "/srv/proxmox-ve_9.1-1.iso"},
        "bridges": bridges,
        "nfsExport": {"path": EXPORT, "network": exporting[0]} if exporting else None,
    }


def _bridge(bridge: Mapping[str, Any], host: str, links: list[Mapping[str, Any]]) -> dict[str, Any]:
    network = ip_network(bridge["subnet"])
    ports = [
        f"{card}.{10 + int(link['number'])}"
        for link in links
        if ip_network(link["subnet"]) == network
        for card in link["cards"].get(host, ())
    ]
    address = f"{bridge['address']}/{network.prefixlen}"
    return {"name": bridge["name"], "address": address, "dhcp": bridge.get("dhcp"), "ports": ports}


def _node(node: Mapping[str, Any], links: list[Mapping[str, Any]]) -> dict[str, Any]:
    same = {key: node[key] for key in OF_NODE if key in node}
    addresses = [link["addresses"][node["name"]] for link in links]
    if node["kind"] == "nested":
        return same | {key: node[key] for key in OF_NESTED} | {"links": addresses}
    cards = [link["cards"][node["name"]][0] for link in links]
    ends = [{"address": address, "interface": card} for address, card in zip(addresses, cards, strict=True)]
    networks = [{"address": f"{address}/24", "interface": STORAGE_INTERFACE} for address in node["networks"]]
    return same | {"hostKey": host_key(node["name"]), "links": ends, "networks": networks}


def _storage(storage: Mapping[str, Any]) -> dict[str, Any]:
    if storage["kind"] == "external":
        return dict(storage)
    same = {"name": storage["name"], "kind": "nfs", "server": str(IPv4Address(storage["server"]))}
    return same | {"export": EXPORT, "contents": ["images"]}


def _guest(guest: Mapping[str, Any], template: str) -> dict[str, Any]:
    ha = {**guest["ha"], "nodes": dict.fromkeys(guest["ha"]["nodes"], 1)}
    return {**{key: guest[key] for key in OF_GUEST}, "template": template, "ha": ha}
