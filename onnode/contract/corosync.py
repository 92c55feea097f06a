"""A change of corosync.conf, and how far it has come on a node."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnode.contract.membership import Membership


@dataclass(frozen=True)
class CorosyncConfig:
    """The next corosync.conf of a live cluster, whole, and what it was made from: another one is not overwritten."""

    text: str
    replaces: str  # SHA-256 of the former text
    restarts: list[str] = field(default_factory=list)  # the members whose corosync takes it only by a restart
    kept: str | None = None  # others' settings of a QDevice's section that goes; "": forget them; None: as they are


@dataclass(frozen=True)
class CorosyncRestart:
    """Corosync and what depends on it start anew, where that is still wanted."""

    timeout_s: int


@dataclass(frozen=True)
class CorosyncReport(Membership):
    """Step `corosync-state`: the above, and how far the configuration has come on this node."""

    text: str = ""  # of the cluster's corosync.conf
    local_version: int = 0  # of this node's copy
    running_version: int | None = None  # None: corosync does not run
    addresses: dict[int, str] = field(default_factory=dict)  # of this node, which its corosync uses, by link
    restarts: list[str] = field(default_factory=list)  # the members whose corosync has yet to be restarted
    kept: str = ""  # others' settings of a QDevice's section that is gone for a while
