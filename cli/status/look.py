"""Looks at all nodes at the same time, over one SSH connection each. Read-only."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster import proxmox_ve
from cluster.reports import read
from cluster.transport import certificates, members, shipped
from onnode.contract.health import Health
from onnode.errors import StepError

if TYPE_CHECKING:
    from cluster.transport.ssh import Connection

CONNECT_S = 5.0
LOOK_S = 60.0


@dataclass(frozen=True)
class NodeStatus:
    """What one node shows.

    Attributes:
        health: its facts.
        api: whether its API answers with the certificate that the node holds.
        storages: whether each is active, by name; empty if they were not asked for.
    """

    health: Health
    api: bool = True
    storages: dict[str, bool] = field(default_factory=dict)


NodeStatuses = dict[str, NodeStatus | StepError]


async def look(opened: members.Opened, *, storages: bool) -> NodeStatuses:
    """Look at every node; returns, by name, its status or why it did not answer.

    Args:
        opened: the connections to the nodes.
        storages: ask for the state of storages, too.
    """

    async def look_at(connection: Connection) -> NodeStatus:
        health, active = await asyncio.gather(
            shipped.run(connection, "cluster-health", None, timeout_s=LOOK_S),
            _storages(connection) if storages else _none(),
        )
        facts = read(Health, connection.machine.name, health.facts)
        presented = await certificates.presented_as(facts.api_fingerprint, connection.machine.address)
        return NodeStatus(facts, presented is not None and presented == facts.api_fingerprint, active)

    return await members.ask(opened, look_at)


async def _none() -> dict[str, bool]:
    return {}


async def _storages(connection: Connection) -> dict[str, bool]:
    command = f"pvesh get /nodes/{proxmox_ve.NODE}/storage --output-format json"
    done = await connection.run(command, timeout_s=LOOK_S)
    try:
        return {entry["storage"]: bool(entry.get("active")) for entry in json.loads(done.stdout)}
    except (ValueError, KeyError, TypeError):
        return {}
