"""Room: on the outer hosts for the nodes, and on the surviving nodes for the guests of one that died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import GUEST, NODES, OUTER_HOST, design, existing
from .resources import DESIGN
from .rule import Rule, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .rule import Props, Subject


def _overcommitted(design: Subject) -> Iterator[str]:
    for host in design.props["outerHosts"]:
        nodes = [node for node in design.props["nodes"] if node["kind"] == "nested" and node["host"] == host["name"]]
        for key, unit in (("memoryMib", "MiB of memory"), ("diskGib", "GiB of disk")):
            total = sum(node[key] for node in nodes)
            if total > host[key]:
                yield f"the nodes on {host['name']} have {number(total)} {unit} together, more than its {number(host[key])}"
        yield from _processors(host, nodes, design.settings["coreFactor"])


def _processors(host: Props, nodes: Sequence[Props], factor: float) -> Iterator[str]:
    for node in nodes:
        if node["cores"] > host["cores"]:
            yield f"node {node['name']} has {number(node['cores'])} processors, more than the {number(host['cores'])} of {host['name']}"
    total = sum(node["cores"] for node in nodes)
    if total > host["cores"] * factor:
        yield f"the nodes on {host['name']} have {number(total)} processors together, more than {number(factor)} times its {number(host['cores'])}"


OUTER_HOST_ROOM = Rule(
    id="outer-host-not-overcommitted",
    level=EnforcementLevel.MANDATORY,
    demands="Outer hosts have the memory, disk and processors that their nodes are promised.",
    protects="A starved host swaps or stalls, tokens come late, and healthy nodes are fenced.",
    source="seed 000; Proxmox VE cluster manager, requirements",
    fix="Lower the nodes' figures, raise the host's in nested-pve-ha:outerHosts if it has more, or use a larger host.",
    judges={DESIGN: _overcommitted},
    bad=design(outerHosts=[OUTER_HOST | {"memoryMib": 4096}]),
    good=design(outerHosts=[OUTER_HOST]),
    settings={
        "coreFactor": {
            "type": "number",
            "default": 4,
            "minimum": 1,
            "description": "How many times the host's processors its nodes may have together.",
        }
    },
)


def _does_not_survive(design: Subject) -> Iterator[str]:
    nodes = design.props["nodes"]
    if len(nodes) < 2 or any(node.get("memoryMib") is None for node in nodes):  # noqa: PLR2004 - nobody is left
        return
    room = {node["name"]: node["memoryMib"] - design.settings["reserveMib"] for node in nodes}
    wanted = sum(guest["memoryMib"] for guest in design.props["guests"] if guest["ha"]["state"] == "started")
    largest = max(room, key=lambda name: room[name])
    left = sum(room.values()) - room[largest]
    if wanted > left:
        yield f"when {largest} dies, {number(left)} MiB are left for guests on the other nodes, and they need {number(wanted)} MiB"


SURVIVES_ONE = Rule(
    id="guests-fit-after-a-failure",
    level=EnforcementLevel.MANDATORY,
    demands="Guests under HA fit on the nodes that are left when the largest one dies.",
    protects="HA would start them all the same, until the surviving nodes run out of memory and fall one after another.",
    source="Proxmox VE HA manager, requirements (N-1)",
    fix="Lower memoryMib of guests, raise that of nodes, or add a node.",
    judges={DESIGN: _does_not_survive},
    bad=design(guests=[GUEST | {"memoryMib": 4096}]),
    good=design(guests=[GUEST | {"memoryMib": 2048}]),
    settings={
        "reserveMib": {
            "type": "number",
            "default": 1024,
            "minimum": 0,
            "description": "Memory that each node keeps for Proxmox VE itself, in MiB.",
        }
    },
)


def _unstated(design: Subject) -> Iterator[str]:
    names = [node["name"] for node in design.props["nodes"] if node.get("memoryMib") is None]
    if names and design.props["guests"]:
        yield f"the memory of {', '.join(names)} is not known, so nobody can say whether guests fit when a node dies"


MEMORY_STATED = Rule(
    id="node-memory-stated",
    level=EnforcementLevel.ADVISORY,
    demands="Nodes of a cluster with guests under HA say how much memory they have.",
    protects="Otherwise guests-fit-after-a-failure cannot judge the design.",
    source="Proxmox VE HA manager, requirements (N-1)",
    fix="Add memoryMib to the node in nested-pve-ha:nodes.",
    judges={DESIGN: _unstated},
    bad=design(nodes=[*NODES, existing(4) | {"memoryMib": None}]),
    good=design(nodes=[*NODES, existing(4)]),
)

RULES = (OUTER_HOST_ROOM, SURVIVES_ONE, MEMORY_STATED)
