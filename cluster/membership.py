"""What the on-node steps `membership` and `cluster-health` report, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cluster.errors import AdminError
from onnode.cluster.corosync import KNET, ConfNode, PeerLink, Quorum

T = TypeVar("T")


@dataclass(frozen=True)
class Membership:
    """One node's own word about its cluster. `state` is `absent`, `half` or `member`."""

    node: str
    state: str
    missing: list[str] = field(default_factory=list)
    cluster: str | None = None
    config_version: int | None = None
    nodes: list[ConfNode] = field(default_factory=list)
    priorities: dict[int, int] = field(default_factory=dict)
    transport: str = KNET
    quorate: bool = False
    quorum: Quorum | None = None
    links: list[PeerLink] = field(default_factory=list)
    pve_mounted: bool = True
    pve_writable: bool = True
    api_fingerprint: str | None = None
    guests: list[int] = field(default_factory=list)
    pve_version: str = ""
    time: float = 0.0

    def listed(self, name: str) -> ConfNode | None:
        """That node as this one's cluster configuration lists it."""
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def voters(self) -> set[int]:
        """Ids of the nodes that take part in the vote at this moment."""
        return {member.id for member in self.quorum.members} if self.quorum else set()

    @property
    def works(self) -> bool:
        """Whether it is a quorate member whose /etc/pve takes writes (F1)."""
        return self.state == "member" and self.quorate and self.pve_writable


@dataclass(frozen=True)
class MembershipReport(Membership):
    """Step `membership`: the above, and what is compared before a join."""

    authorized_keys: list[str] = field(default_factory=list)  # fingerprints, as `ssh-keygen -l` prints them


@dataclass(frozen=True)
class Kernel:
    """The running kernel and the newest one installed."""

    running: str
    newest: str | None
    reboot_missing: bool


@dataclass(frozen=True)
class Watchdog:
    """Whether the watchdog's device and the multiplexer's socket are there (F18)."""

    device: bool
    socket: bool


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
class Guest:
    """A guest that is configured on the node."""

    id: int
    type: str
    name: str | None
    status: str
    template: bool
    ha: str | None


@dataclass(frozen=True)
class Health(Membership):
    """Step `cluster-health`: all that one node shows."""

    kernel: Kernel | None = None
    services: dict[str, bool] = field(default_factory=dict)  # unit -> active
    watchdog: Watchdog | None = None
    busy: str | None = None
    ha: Ha | None = None
    running_guests: list[Guest] | None = None


def read(kind: type[T], machine: str, facts: dict[str, Any]) -> T:
    """Turn a step's facts into their dataclass.

    Raises:
        AdminError: step-broken, when the package on the machine is of another version.
    """
    try:
        return TypeAdapter(kind).validate_python(facts)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_url=False))
        raise AdminError(
            "step-broken",
            f"the step package on {machine} reports in a form that is not known here",
            observed=places,
            expected=f"the facts of {kind.__name__}",
            fix="`make up` puts the package of this checkout there",
        ) from None
