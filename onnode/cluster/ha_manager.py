"""What the HA manager and its agents publish in /etc/pve: how they have a node, and what they do with its guests.

Facts: pve-ha-manager (Manager.pm, LRM.pm, NodeStatus.pm).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

MANAGER_STATUS = "/etc/pve/ha/manager_status"
AGENT_STATUS = "/etc/pve/nodes/{node}/lrm_status"
MAINTENANCE = "maintenance"
OLD_S = 30  # what the HA manager itself takes for too old (PVE/API2/HA/Status.pm)
_AT_REST = ("started", "stopped", "error", "freeze")
_RUNS_NOTHING = ("stopped", "error")


@dataclass(frozen=True)
class NodeInHa:
    """One node, as the HA manager has it.

    Attributes:
        state: `online`, `maintenance` and others; empty if the HA manager knows no such node.
        requested: an administrator asked for maintenance.
        mode: that of its agent: `active`, `maintenance` and others.
        silent: its agent reports no more, while the HA manager works.
        guests: those that the HA manager has there and that may run: "vm:100 (started)".
        moving: the guests of the whole cluster that the HA manager moves, starts or stops: "vm:100 (migrate)".
    """

    state: str = ""
    requested: bool = False
    mode: str = ""
    silent: bool = False
    guests: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)


def parse_node(manager: str, agent: str, node: str) -> NodeInHa:
    """Read both files; one that is empty, or was written while it was read, says nothing."""
    status, own = _document(manager), _document(agent)
    services = sorted(status.get("service_status", {}).items())
    return NodeInHa(
        status.get("node_status", {}).get(node, ""),
        bool(status.get("node_request", {}).get(node, {}).get(MAINTENANCE)),
        own.get("mode", ""),
        int(status.get("timestamp", 0)) - int(own.get("timestamp", 0)) > OLD_S,
        [_shown(sid, one) for sid, one in services if _is_there(one, node)],
        [_shown(sid, one) for sid, one in services if _moves(one)],
    )


def observe(machine: ThisMachine, node: str) -> NodeInHa:
    """Read the files on a member."""
    return parse_node(machine.read(MANAGER_STATUS) or "", machine.read(AGENT_STATUS.format(node=node)) or "", node)


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text.rstrip("\0"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _shown(sid: str, service: dict[str, Any]) -> str:
    return f"{sid} ({service.get('state')})"


def _moves(service: dict[str, Any]) -> bool:
    """Whether HA does something with it; one that it has just placed is `started` before it runs."""
    state = service.get("state")
    return state not in _AT_REST or bool(service.get("cmd")) or (state == "started" and not service.get("running"))


def _is_there(service: dict[str, Any], node: str) -> bool:
    return node in (service.get("node"), service.get("target")) and service.get("state") not in _RUNS_NOTHING
