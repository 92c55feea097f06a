"""What CRM and LRM may see and do. On a node this is /etc/pve and the guests; in the tests a simulated cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.ha.model import Resource
    from pvelab.ha.placement import Affinities


class Watchdog(Protocol):
    """An open connection to the node's watchdog: who opens one must report or close it."""

    def update(self) -> None:
        """Report."""

    def close(self) -> None:
        """Stop reporting, on purpose."""


class Worker(Protocol):
    """A command on a service, under way."""

    def poll(self) -> int | None:
        """The command's result, None while it is running."""


class Environment(Protocol):
    """One node's view of the cluster.

    Raises (all that touch /etc/pve):
        OSError: it takes no writes.
    """

    @property
    def node(self) -> str:
        """This node's name."""

    def clock(self) -> float:
        """Proxmox' seconds since some point: in a lab they pass faster than real ones."""

    def timestamp(self) -> int:
        """Real seconds since the epoch, for the status files."""

    def sleep(self, seconds: float) -> None:
        """Wait for Proxmox' seconds."""

    def log(self, message: str) -> None:
        """Note what was decided."""

    def quorate(self) -> bool:
        """Whether this node is part of the quorate partition."""

    def online_nodes(self) -> Mapping[str, bool]:
        """The cluster's nodes: True for those in the quorate partition."""

    def resources(self) -> Mapping[str, Resource]:
        """The configured resources by sid."""

    def affinities(self) -> Affinities:
        """The rules for where resources may run."""

    def read_manager_status(self) -> dict[str, Any]:
        """What the CRM wrote last, empty at first."""

    def write_manager_status(self, status: Mapping[str, Any]) -> None:
        """Publish the CRM's decisions."""

    def read_lrm_status(self, node: str) -> dict[str, Any]:
        """What a node's LRM wrote last, empty at first."""

    def write_lrm_status(self, status: Mapping[str, Any]) -> None:
        """Publish this node's LRM's state and results."""

    def has_commands(self) -> bool:
        """Whether users queued commands."""

    def take_commands(self) -> list[str]:
        """The commands that users queued, which are thereby taken off the queue."""

    def acquire_manager_lock(self) -> bool:
        """Get or renew the lock of the one active CRM."""

    def release_manager_lock(self) -> None:
        """Let another CRM become the active one."""

    def acquire_agent_lock(self, node: str | None = None) -> bool:
        """Get or renew this node's agent lock, or take over another node's: then that node is dead."""

    def release_agent_lock(self) -> None:
        """Give up this node's agent lock: nothing runs here that needs fencing."""

    def open_watchdog(self) -> Watchdog:
        """Promise to report, or to be reset."""

    def steal(self, sid: str, source: str, target: str) -> None:
        """Move a guest's configuration from a fenced node to another one."""

    def start_worker(self, sid: str, command: str, target: str | None) -> Worker:
        """Start a command on a guest of this node: started, stopped, request_stop, migrate, relocate or error."""

    def request_stopped(self, sid: str) -> None:
        """Configure that a resource is to be stopped."""

    def is_shutting_down(self) -> tuple[bool, bool]:
        """Whether the node shuts down, and whether to start again."""

    def shutdown_policy(self) -> str:
        """What the cluster's options want for the services of a node that shuts down: `conditional` by default."""
