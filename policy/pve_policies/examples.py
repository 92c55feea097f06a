"""A sound design, from which each rule's examples differ in what the rule is about."""

from __future__ import annotations

from typing import Any

from .resources import DESIGN, VM
from .rule import Example

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


def existing(number: int) -> dict[str, Any]:
    """A machine that already runs Proxmox VE."""
    return {
        "name": f"pve{number}",
        "kind": "existing",
        "nodeId": number,
        "votes": 1,
        "address": f"192.168.0.10{number}",
        "networks": [f"10.30.1.10{number}"],
        "watchdog": "ipmi_watchdog",
        "memoryMib": 65536,
    }


NODES = [nested(number) for number in (1, 2, 3)]


def link(number: int, subnet: str, bridge: str, priority: int | None) -> dict[str, Any]:
    """A Corosync link."""
    start = subnet.rsplit(".", 1)[0]
    return {
        "number": number,
        "subnet": subnet,
        **({"priority": priority} if priority is not None else {}),
        "bridges": {"virtual": bridge},
        "addresses": {node["name"]: f"{start}.18{node['nodeId']}" for node in NODES},
    }


LINKS = [link(0, "10.10.1.0/24", "vmbr1", 20), link(1, "10.20.1.0/24", "vmbr2", 10)]
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
GUEST: dict[str, Any] = {
    "name": "vm01",
    "kind": "vm",
    "vmid": 200,
    "node": "proxmox01",
    "storage": "shared",
    "bridge": "vmbr0",
    "memoryMib": 512,
    "kvm": False,
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


def vm(**special: object) -> Example:
    """A VM of a program without our components."""
    return Example(VM, special, {"name": "web", "nodeName": "pve1", "tags": ["shop"]})


def design(**special: object) -> Example:
    """The sound design with other values for some of its parts."""
    return Example(DESIGN, special, SOUND)
