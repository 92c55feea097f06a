"""A node's links, and how they are tried out before corosync uses them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LinkPeer:
    """Another node's address on one link."""

    name: str
    address: str


@dataclass(frozen=True)
class PreflightLink:
    """One link as seen from one node."""

    number: int
    local_address: str
    peers: list[LinkPeer]
    mtu: int = 1500


@dataclass(frozen=True)
class LinkPreflight:
    """Every peer answers on every link, with full-size packets, quickly enough (Proxmox: below 5 ms)."""

    links: list[PreflightLink]
    latency_max_ms: float = 5.0
    probe: bool = True  # with packets of our own where ping is silent; all nodes do so at the same time, or none


@dataclass(frozen=True)
class ClusterLink:
    """A Corosync link of one node. A higher priority number wins (corosync.conf(5))."""

    number: int
    address: str
    priority: int | None = None
