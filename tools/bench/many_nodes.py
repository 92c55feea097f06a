"""A stack like dev with more nodes."""

from __future__ import annotations

import copy
from ipaddress import IPv4Address
from typing import Any

KEY = "nested-pve-ha:{}"
# What an outer host offers to its nodes, and what they take from it.
CAPACITIES = ("cores", "memoryMib", "diskGib")


def with_nodes(document: dict[str, Any], count: int) -> dict[str, Any]:
    """The stack file `document` with `count` nested nodes like its first one, on an outer host that can carry them."""
    grown = copy.deepcopy(document)
    values = grown["config"]
    first, host = values[KEY.format("nodes")][0], values[KEY.format("outerHosts")][0]
    values[KEY.format("nodes")] = [_node(first, offset) for offset in range(count)]
    for capacity in CAPACITIES:
        host[capacity] = max(host[capacity], 2 * count * first[capacity])
    return grown


def _node(first: dict[str, Any], offset: int) -> dict[str, Any]:
    def shifted(address: str) -> str:
        return str(IPv4Address(address) + offset)

    return first | {
        "name": f"{first['name'].rstrip('0123456789')}{offset + 1:02}",
        "nodeId": first["nodeId"] + offset,
        "vmid": first["vmid"] + offset,
        "address": shifted(first["address"]),
        "links": [shifted(address) for address in first["links"]],
        "networks": [shifted(address) for address in first["networks"]],
    }
