"""A sound design, from which each rule's examples differ in what the rule is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .resources import DESIGN, VM
from .rule import Example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rule import Props

OUTER_HOST: dict[str, Any] = {
    "name": "virtual",
    "address": "192.168.0.180",
    "nested": True,
    "cores": 12,
    "memoryMib": 8192,
    "diskGib": 128,
    "repository": "no-subscription",
    "user": "root@pam",
    "tls": "pinned",
    "bridges": [
        {
            "name": "vmbr1",
            "address": "10.10.1.1",
            "subnet": "10.10.1.0/24",
            "dhcp": {"start": "10.10.1.10", "end": "10.10.1.20"},
        },
        {"name": "vmbr2", "address": "10.20.1.1", "subnet": "10.20.1.0/24"},
        {"name": "vmbr3", "address": "10.30.1.1", "subnet": "10.30.1.0/24"},
    ],
}


def nested(number: int) -> dict[str, Any]:
    """A nested node."""
    return {
        "name": f"proxmox0{number}",
        "kind": "nested",
        "nodeId": number,
        "votes": 1,
        "address": f"192.168.0.18{number}",
        "networks": [f"10.30.1.18{number}"],
        "watchdog": "softdog",
        "host": "virtual",
        "vmid": 100 + number,
        "cpuType": "host",
        "cores": 4,
        "memoryMib": 2048,
        "diskGib": 32,
        "macs": {bridge: f"BC:24:11:00:0{bridge[-1]}:0{number}" for bridge in ("vmbr0", "vmbr1", "vmbr2", "vmbr3")},
    }


def existing(number: int, memory_mib: int | None = 65536) -> dict[str, Any]:
    """A machine that already runs Proxmox VE; None: nobody said how much memory it has."""
    return {
        "name": f"pve{number}",
        "kind": "existing",
        "nodeId": number,
        "votes": 1,
        "address": f"192.168.0.10{number}",
        "networks": [f"10.30.1.10{number}"],
        "watchdog": "ipmi_watchdog",
        **({"memoryMib": memory_mib} if memory_mib is not None else {}),
    }


NODES = [nested(number) for number in (1, 2, 3)]


def link(number: int, subnet: str, priority: int | None, nodes: Sequence[Props] = NODES) -> dict[str, Any]:
    """A Corosync link; each node's address on it ends as its management address does."""
    start = subnet.rsplit(".", 1)[0]
    return {
        "number": number,
        "subnet": subnet,
        **({"priority": priority} if priority is not None else {}),
        "cards": {node["name"]: [f"eth{number + 1}"] for node in nodes if node["kind"] == "existing"},
        "addresses": {node["name"]: f"{start}.{node['address'].rsplit('.', 1)[1]}" for node in nodes},
    }


def links(nodes: Sequence[Props]) -> list[dict[str, Any]]:
    """The two links that these nodes are on."""
    return [link(0, "10.10.1.0/24", 20, nodes), link(1, "10.20.1.0/24", 10, nodes)]


LINKS = links(NODES)
CLUSTER: dict[str, Any] = {
    "name": "proxmox",
    "seed": "proxmox01",
    "votes": 3,
    "links": LINKS,
    "api": {"user": "pulumi@pve", "tls": "pinned"},
    "latencyMaxMs": 5,
    "migrationNetwork": "10.30.1.0/24",
    "haShutdownPolicy": "migrate",
}
WITNESS = {"name": "witness", "address": "192.168.0.106"}
GUEST: dict[str, Any] = {
    "name": "vm01",
    "kind": "vm",
    "vmid": 200,
    "node": "proxmox01",
    "storage": "shared",
    "bridge": "vmbr0",
    "memoryMib": 512,
    "cores": 1,
    "ha": {"state": "started", "strict": False, "nodes": ["proxmox01", "proxmox02", "proxmox03"]},
}
SHARED: dict[str, Any] = {"name": "shared", "kind": "nfs", "shared": True, "server": "10.30.1.1"}
TEMPLATE: dict[str, Any] = {
    "name": "debian-template",
    "vmid": 9000,
    "node": "proxmox01",
    "storage": "shared",
    "kvm": False,
}
SOUND: dict[str, Any] = {
    "pveMajor": 9,
    "managementNetwork": {"subnet": "192.168.0.0/24", "gateway": "192.168.0.1"},
    "outerHosts": [OUTER_HOST],
    "nodes": NODES,
    "cluster": CLUSTER,
    "storages": [SHARED],
    "templates": [TEMPLATE],
    "guests": [GUEST],
    "maintenance": {"repository": "no-subscription"},
    "protectNodes": True,
    "keepsGuests": False,
    "plainSecrets": [],
}


API: dict[str, Any] = {
    "endpoint": "https://pve1.example:8006",
    "apiToken": "ci@pve!up=00000000-0000-0000-0000-000000000000",
}


API_USER: dict[str, Any] = {"endpoint": "https://pve1.example:8006", "username": "ci@pve", "password": "ci-password"}
CARD: dict[str, Any] = {"bridge": "vmbr0", "macAddress": "BC:24:11:00:00:01"}


def vm(*, provider: Props | None = None, before: Example | None = None, **special: object) -> Example:
    """A VM of a program without our components."""
    rest = {"name": "web", "nodeName": "pve1", "tags": ["shop"]}
    return Example(VM, special, rest, provider=provider or {}, before=before)


def design(**special: object) -> Example:
    """The sound design with other values for some of its parts."""
    return Example(DESIGN, special, SOUND)


def of_nodes(*nodes: Props, about: str = "nodes") -> Example:
    """The sound design with other nodes, and with what a cluster has of its nodes; a rule is about one part of it."""
    votes = sum(node["votes"] for node in nodes)
    whole = SOUND | {"nodes": list(nodes), "cluster": CLUSTER | {"votes": votes, "links": links(nodes)}}
    return Example(DESIGN, {about: whole[about]}, whole)


def with_qdevice(count: int, **qdevice: object) -> Example:
    """The sound design with so many nodes and a QDevice, which is set up, and has a vote, while their number is even."""
    nodes = [nested(number) for number in range(1, count + 1)]
    whole = of_nodes(*nodes).props
    setting = {"algorithm": "ffsplit", "tls": "on", **qdevice}
    cluster = whole["cluster"] | {"votes": count + (count + 1) % 2, "qdevice": setting}
    return Example(DESIGN, {"cluster": cluster}, whole)


def of_machines(*nodes: Props) -> Example:
    """The sound design with existing nodes only, and so without an outer host."""
    whole, name = of_nodes(*nodes).props, nodes[0]["name"]
    ha = GUEST["ha"] | {"nodes": [node["name"] for node in nodes]}
    other = {
        "outerHosts": [],
        "cluster": whole["cluster"] | {"seed": name},
        "templates": [TEMPLATE | {"node": name}],
        "guests": [GUEST | {"node": name, "ha": ha}],
        "keepsGuests": True,
    }
    return Example(DESIGN, {"nodes": list(nodes)}, {**whole, **other})


def on_cards(*cards: str) -> Example:
    """The sound design with bridges that lead out of the outer host, so that none of them has DHCP."""
    bridges = [{key: value for key, value in bridge.items() if key != "dhcp"} for bridge in OUTER_HOST["bridges"]]
    using = [one | {"cards": {"virtual": [card]}} for one, card in zip(LINKS, cards, strict=True)]
    whole = SOUND | {"outerHosts": [OUTER_HOST | {"bridges": bridges}]}
    return Example(DESIGN, {"cluster": CLUSTER | {"links": using}}, whole)
