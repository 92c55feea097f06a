"""What is asked of nodes when one of them leaves, and what shows that it is gone."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EvacuateNode:
    """All guests leave a node for good; asked on another member, before the node is taken out of the cluster."""

    node: str
    targets: list[str]  # the members that stay
    stack_tag: str  # HA rules with this mark let go of the node
    timeout_s: int  # for the HA manager to take the node out of use; guests have their own time


@dataclass(frozen=True)
class KeepMembers:
    """Nodes that stay: what a removal of them began before it was taken back is undone; asked on a working member."""

    nodes: list[str]
    stack_tag: str


@dataclass(frozen=True)
class NodeGone:
    """A node is to be off for good: what a member still sees of it."""

    node: str
    node_id: int
    addresses: list[str]  # of its links, and for management


@dataclass(frozen=True)
class RemoveMember:
    """A node that is off leaves the cluster's list, with all that is left of it; asked on a working member."""

    node: str
    addresses: list[str]  # of its links, and for management


@dataclass(frozen=True)
class ResetNode:
    """A machine that left its cluster is stand-alone again; the caller has seen that no working member lists it."""

    cluster: str
    apart: list[int] = field(default_factory=list)  # ids of nodes that may vote with it; its own: it may be quorate
    guests: list[int] = field(default_factory=list)  # that the cluster has in its own configuration, too


@dataclass(frozen=True)
class ReleaseMember:
    """The entry of a lost node goes from the cluster's list, and nothing else of it; asked on a working member."""

    node: str
    node_id: int


@dataclass(frozen=True)
class NodeTraces:
    """Step `node-gone`: what shows that the node is on, in words; nothing when it is off."""

    seen: list[str] = field(default_factory=list)
