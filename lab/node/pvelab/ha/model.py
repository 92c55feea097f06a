"""Names and records that CRM and LRM share."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

# A node that was not seen in the quorate partition for this long is fenced.
FENCE_DELAY_SECONDS = 60.0
# An agent's lock may be taken over when it was not renewed for this long: its watchdog has fired by then.
LOCK_TIMEOUT_SECONDS = 120.0
# An agent that does not report for this long lets the watchdog reset its node.
WATCHDOG_TIMEOUT_SECONDS = 60.0


class State(enum.StrEnum):
    """What the CRM wants of a service, or does with it."""

    STOPPED = "stopped"
    REQUEST_STOP = "request_stop"
    REQUEST_START = "request_start"
    STARTED = "started"
    FENCE = "fence"
    RECOVERY = "recovery"
    MIGRATE = "migrate"
    RELOCATE = "relocate"
    FREEZE = "freeze"
    ERROR = "error"


class Request(enum.StrEnum):
    """The state that a resource's configuration asks for."""

    STARTED = "started"
    STOPPED = "stopped"
    DISABLED = "disabled"
    IGNORED = "ignored"


class CommandResult(enum.IntEnum):
    """How an LRM's command on a service ended."""

    SUCCESS = 0
    ERROR = 1
    WRONG_NODE = 3
    UNKNOWN_COMMAND = 5
    INVALID_PARAMETER = 6
    UNKNOWN_SERVICE = 7


@dataclasses.dataclass(frozen=True)
class Resource:
    """A guest under HA; `node` is where its configuration file is now."""

    sid: str
    node: str
    state: Request = Request.STARTED
    max_restart: int = 1
    max_relocate: int = 1
    failback: bool = True
    comment: str | None = None

    @property
    def kind(self) -> str:
        """`vm` or `ct`."""
        return self.sid.partition(":")[0]

    @property
    def vmid(self) -> int:
        """The guest's id."""
        return int(self.sid.partition(":")[2])


@dataclasses.dataclass
class Service:
    """The CRM's record of a resource, as kept in manager_status."""

    state: State
    node: str
    uid: str
    target: str | None = None
    command: tuple[str, str] | None = None
    failed_nodes: list[str] = dataclasses.field(default_factory=list)
    running: bool = False
    # Where it was before its node went into maintenance, and where it returns.
    maintenance_node: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read an entry of `service_status`."""
        command = document.get("cmd")
        return cls(
            state=State(document["state"]),
            node=document["node"],
            uid=document.get("uid", ""),
            target=document.get("target"),
            command=(command[0], command[1]) if command else None,
            failed_nodes=list(document.get("failed_nodes", [])),
            running=bool(document.get("running", 0)),
            maintenance_node=document.get("maintenance_node"),
        )

    @property
    def places(self) -> set[str]:
        """Where it is and, while it moves, where it goes."""
        return {place for place in (self.node, self.target) if place}

    def document(self) -> dict[str, Any]:
        """The entry of `service_status`; what does not apply is left out."""
        document: dict[str, Any] = {"state": str(self.state), "node": self.node, "uid": self.uid}
        if self.target:
            document["target"] = self.target
        if self.command:
            document["cmd"] = list(self.command)
        if self.failed_nodes:
            document["failed_nodes"] = self.failed_nodes
        if self.running:
            document["running"] = 1
        if self.maintenance_node:
            document["maintenance_node"] = self.maintenance_node
        return document


def services_of(manager_status: Mapping[str, Any]) -> dict[str, Service]:
    """The services in a manager_status document."""
    return {sid: Service.from_document(entry) for sid, entry in manager_status.get("service_status", {}).items()}


def in_maintenance(manager_status: Mapping[str, Any], node: str) -> bool:
    """Whether an administrator asked for maintenance of this node."""
    return bool(manager_status.get("node_request", {}).get(node, {}).get("maintenance"))


def awaits_fencing(services: Mapping[str, Service], node: str) -> bool:
    """Whether the CRM wants this node fenced: its agents must not go on."""
    return any(service.node == node and service.state is State.FENCE for service in services.values())
