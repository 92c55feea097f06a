"""Watchdogs: they reset a node that has lost the cluster, before its guests are started elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import NODES, existing, of_machines, of_nodes
from .resources import DESIGN
from .rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rule import Subject

NONE = "none"
SOFTWARE = "softdog"


def _absent(design: Subject) -> Iterator[str]:
    for node in design.props["nodes"]:
        if design.props["guests"] and node["watchdog"] == NONE:
            yield f"node {node['name']} has no watchdog, and the cluster has guests under HA"


WATCHDOG_PRESENT = Rule(
    id="watchdog-present",
    level=EnforcementLevel.MANDATORY,
    demands="Every node of a cluster with guests under HA has a watchdog.",
    protects="A node that lost the cluster still runs its guests while HA starts them elsewhere: both copies write to one disk.",
    source="F18; Proxmox VE HA manager, fencing",
    fix="Leave watchdog out, which means softdog, or name the module of the node's hardware watchdog.",
    judges={DESIGN: _absent},
    bad=of_nodes(NODES[0] | {"watchdog": NONE}, *NODES[1:]),
    good=of_nodes(*NODES),
)


def _software(design: Subject) -> Iterator[str]:
    physical = [node for node in design.props["nodes"] if node["kind"] == "existing"]
    names = [node["name"] for node in physical if node["watchdog"] == SOFTWARE]
    if names and design.props["guests"]:
        yield f"softdog fences {', '.join(names)}, and needs a kernel that still runs"


WATCHDOG_HARDWARE = Rule(
    id="watchdog-hardware",
    level=EnforcementLevel.ADVISORY,
    demands="Physical nodes of a cluster with guests under HA have a hardware watchdog.",
    protects="softdog cannot reset a machine whose kernel hangs: its guests stay down, or run twice.",
    source="F18; Proxmox VE HA manager, hardware watchdog",
    fix="Set WATCHDOG_MODULE in /etc/default/pve-ha-manager of the node, reboot it, and name the module in watchdog.",
    judges={DESIGN: _software},
    bad=of_machines(existing(1), existing(2), existing(3) | {"watchdog": SOFTWARE}),
    good=of_machines(existing(1), existing(2), existing(3)),
)

RULES = (WATCHDOG_PRESENT, WATCHDOG_HARDWARE)
