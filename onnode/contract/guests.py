"""Guests that move, and a node that is to be without them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Maintenance:
    """The HA manager gives a node no guests, and takes away those that it has; or that is over. Any working member is asked."""

    node: str
    enabled: bool
    timeout_s: int  # for the HA manager to take it up; guests have their own time


@dataclass(frozen=True)
class GuestMove:
    """A guest ("vm:100", "ct:101") and the node that it goes to."""

    sid: str
    target: str


@dataclass(frozen=True)
class MoveGuests:
    """Running guests that are not under HA leave this node: VMs live, containers by a restart."""

    node: str
    moves: list[GuestMove]


@dataclass(frozen=True)
class RunningGuest:
    """A guest that runs on a node, and what decides where else it can."""

    sid: str
    name: str
    managed: bool  # by HA
    obstacles: list[str] = field(default_factory=list)  # why it cannot leave, in words
    nodes: list[str] | None = None  # the only ones that have its storages and that its HA rule allows; None: any


@dataclass(frozen=True)
class RunningGuests:
    """Step `running-guests`: those of one node."""

    node: str
    guests: list[RunningGuest]
