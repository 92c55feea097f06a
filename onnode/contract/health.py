"""What a node reports about its services and guests."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnode.contract.membership import Membership


@dataclass(frozen=True)
class Kernel:
    """The running kernel and the newest one installed."""

    running: str
    newest: str | None
    reboot_missing: bool  # one was asked for, and has not happened


@dataclass(frozen=True)
class Watchdog:
    """Whether the watchdog's device and the multiplexer's socket are there (F18)."""

    device: bool
    socket: bool
    used: bool = False  # watchdog-mux has a client, or had one when it ended: it starts again only after a reboot


@dataclass(frozen=True)
class HaService:
    """A guest under HA, as the HA manager sees it."""

    node: str | None
    state: str | None


@dataclass(frozen=True)
class Ha:
    """The HA manager: its master, the state of each node's agent, the guests it looks after."""

    master: str | None = None
    lrm: dict[str, str] = field(default_factory=dict)
    services: dict[str, HaService] = field(default_factory=dict)


@dataclass(frozen=True)
class GuestStatus:
    """A guest that is configured on the node."""

    id: int
    type: str
    name: str | None
    status: str
    template: bool
    ha: str | None


@dataclass(frozen=True)
class Health(Membership):
    """Step `cluster-health`: all that one node shows; None: it could not be found out."""

    pve_version: str = ""
    kernel: Kernel | None = None
    services: dict[str, bool] = field(default_factory=dict)  # unit -> active
    watchdog: Watchdog | None = None
    busy: str | None = None  # the step that holds the machine's lock
    time: float = 0.0
    ha: Ha | None = None
    running_guests: list[GuestStatus] | None = None
