"""Room: on the outer hosts for the nodes, and on the surviving nodes for the guests of one that died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import GUEST, OUTER_HOST, design, existing, of_machines
from .resources import DESIGN
from .rule import Rule, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

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
        yield f"the nodes on {host['name']} have {number(total)} processors together, more than {number(factor)} times its {number(host['cores'])} (coreFactor)"


OUTER_HOST_ROOM = Rule(
    id="outer-host-not-overcommitted",
    level=EnforcementLevel.MANDATORY,
    demands="Outer hosts have the memory, disk and processors that the stack file gives to their nodes.",
    protects="A starved host swaps or stalls, tokens come late, and healthy nodes are fenced.",
    source="Proxmox VE cluster manager, requirements",
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


def _does_not_fit(design: Subject) -> Iterator[str]:
    too_large = list(_fits_nowhere(design.props))
    yield from too_large or _does_not_survive(design)


def _fits_nowhere(design: Props) -> Iterator[str]:
    """Guests with more memory than any of their nodes as a whole, whatever runs there besides, and whether they run."""
    memory = {node["name"]: node.get("memoryMib") for node in design["nodes"]}
    for guest in _of_known_size(design["guests"]):
        sizes = [memory[name] for name in _candidates(guest, memory)]
        if sizes and None not in sizes and guest["memoryMib"] > max(sizes):
            yield f"guest {guest['name']} fits on no node: the largest that it may run on has {number(max(sizes))} MiB"


def _does_not_survive(design: Subject) -> Iterator[str]:
    nodes = design.props["nodes"]
    if len(nodes) < 2 or any(node.get("memoryMib") is None for node in nodes):  # noqa: PLR2004 - nobody is left
        return
    reserve = design.settings["reserveMib"]
    room = {node["name"]: max(node["memoryMib"] - reserve, 0) for node in nodes}
    kept = f"each node keeps {number(reserve)} MiB for itself (reserveMib)"
    guests = [guest for guest in _of_known_size(design.props["guests"]) if guest["ha"]["state"] == "started"]
    wanted = sum(guest["memoryMib"] for guest in guests)
    for dead in sorted(room, key=lambda name: -room[name]):
        rest = {name: free for name, free in room.items() if name != dead}
        left = sum(rest.values())
        if wanted > left:
            have = f"{number(left)} MiB are left for guests on the other nodes, and they need {number(wanted)} MiB"
            yield f"when {dead} dies, {have}; {kept}"
            return
        for problem in _homeless(guests, rest):
            yield f"when {dead} dies, {problem}; {kept}"
            return


def _homeless(guests: Sequence[Props], room: dict[str, float]) -> Iterator[str]:
    """Guests that find no place: the most bound and then the largest first, each to the node that it fills best.

    A guest that is bound to the dead node alone is another rule's business.
    """
    may_take = {guest["name"]: _candidates(guest, room) for guest in guests}
    for guest in sorted(guests, key=lambda guest: (len(may_take[guest["name"]]), -guest["memoryMib"])):
        candidates = may_take[guest["name"]]
        fitting = [name for name in candidates if room[name] >= guest["memoryMib"]]
        if fitting:
            room[min(fitting, key=lambda name: room[name])] -= guest["memoryMib"]
        elif candidates:
            left = ", ".join(f"{name} has {number(room[name])} MiB left" for name in candidates)
            need = f"guest {guest['name']} finds no node with the {number(guest['memoryMib'])} MiB that it needs"
            yield f"{need}: {left}"


def _of_known_size(guests: Sequence[Props]) -> list[Props]:
    """Of an existing guest, nobody may have said it: the others must fit all the same."""
    return [guest for guest in guests if guest.get("memoryMib") is not None]


def _candidates(guest: Props, names: Collection[str]) -> list[str]:
    bound = set(guest["ha"]["nodes"]) if guest["ha"]["strict"] else set(names)
    return [name for name in names if name in bound]


SURVIVES_ONE = Rule(
    id="guests-fit-after-a-failure",
    level=EnforcementLevel.MANDATORY,
    demands="Guests under HA fit on the nodes that are left when any one node dies.",
    protects="HA starts them even without enough memory, until the surviving nodes fail one after another. The rule takes "
    "each node away in turn. Each guest then needs a node that may run it and has memory left, and no memory is given "
    "twice. Guests are placed one by one: first those with the fewest allowed nodes, then the largest, each where it leaves "
    "the least memory. HA does not move a guest to make room for another.",
    source="Proxmox VE HA manager, requirements (N-1)",
    fix="Lower memoryMib of guests, raise that of nodes, or add a node.",
    judges={DESIGN: _does_not_fit},
    bad=design(guests=[GUEST | {"memoryMib": 2048}]),
    good=design(guests=[GUEST | {"memoryMib": 1024}]),
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
    guests = [guest["name"] for guest in design.props["guests"] if guest.get("memoryMib") is None]
    if guests:
        yield f"the memory of guest {', '.join(guests)} is not known, so nobody can say whether all fit when a node dies"


MEMORY_STATED = Rule(
    id="node-memory-stated",
    level=EnforcementLevel.ADVISORY,
    demands="Nodes of a cluster with guests under HA, and its existing guests, say how much memory they have.",
    protects="Otherwise guests-fit-after-a-failure cannot judge the design.",
    source="Proxmox VE HA manager, requirements (N-1)",
    fix="Add memoryMib to the node in nested-pve-ha:nodes, or to the guest in nested-pve-ha:guests.",
    judges={DESIGN: _unstated},
    bad=of_machines(existing(1), existing(2), existing(3, None)),
    good=of_machines(existing(1), existing(2), existing(3)),
)

RULES = (OUTER_HOST_ROOM, SURVIVES_ONE, MEMORY_STATED)
