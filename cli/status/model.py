"""What `status` looks for, and its findings. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from cli.status.look import NodeStatus
    from cluster.contract import Member
    from onnode.cluster.corosync import Device
    from onnode.contract.health import Health

# Errors of a node that does not answer at all; a node that refuses a key, for example, is up.
NO_ANSWER = ("host-unreachable", "ssh-timeout")


@dataclass(frozen=True)
class WantedGuest:
    """A guest under HA as described."""

    name: str
    sid: str
    state: str
    nodes: list[str]  # allowed; empty: any


@dataclass(frozen=True)
class Wanted:
    """All that is looked for; `servers` has the address of each storage that is on a server."""

    stack: str
    cluster: str
    pve_major: int
    members: list[Member]
    storages: list[str]
    guests: list[WantedGuest]
    servers: dict[str, IPv4Address] = field(default_factory=dict)
    device: Device | None = None  # the QDevice that the cluster is to have


@dataclass(frozen=True)
class Finding:
    """Something that is not as described.

    Attributes:
        where: the name of a node, an outer host or a guest, or `cluster`.
        what: what was found.
        next: the command, or the act, that comes next.
    """

    where: str
    what: str
    next: str


def joined(wanted: Wanted, nodes: dict[str, NodeStatus]) -> list[Member]:
    """The nodes that see themselves as members of the described cluster, under their described names."""
    return [
        member
        for member in wanted.members
        if (look := nodes.get(member.name))
        and (look.health.node, look.health.state, look.health.cluster) == (member.name, "member", wanted.cluster)
    ]


def votes_in(health: Health, name: str) -> bool:
    """Whether that node votes, as this node sees it."""
    listed = health.listed(name)
    return listed is not None and listed.id in health.voters
