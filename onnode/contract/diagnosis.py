"""What a machine of a broken cluster, or of one to be, reports."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnode.cluster.corosync import KNET, ConfNode, Device, PeerLink, Quorum
from onnode.contract.health import Watchdog  # noqa: TC001 - `parse` resolves them
from onnode.contract.links import ClusterLink  # noqa: TC001 - `parse` resolves them


@dataclass(frozen=True)
class Neighbour:
    """Another machine that a node tries to reach: on its management address, and on its links."""

    name: str
    address: str
    links: list[ClusterLink] = field(default_factory=list)


@dataclass(frozen=True)
class Diagnose:
    """Step `diagnosis`: all that one machine shows of itself and of its neighbours."""

    neighbours: list[Neighbour]
    links: list[ClusterLink] = field(default_factory=list)  # its own


@dataclass(frozen=True)
class ConfFile:
    """A corosync.conf as it lies on one machine."""

    digest: str  # SHA-256 of its text
    version: int = 0  # its config_version
    cluster: str | None = None
    nodes: list[ConfNode] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # why corosync would not take it
    device: Device | None = None
    transport: str = KNET


@dataclass(frozen=True)
class Space:
    """A file system that a node cannot work without."""

    path: str
    total_mib: int
    free_mib: int
    free_inodes: int | None = None  # None: it makes them as they are needed


@dataclass(frozen=True)
class Datastore:
    """A storage, as the machine sees it."""

    type: str  # as Proxmox VE names it: "dir", "lvmthin", "nfs", …
    status: str  # "active", "inactive", "disabled"
    free_mib: int = 0


@dataclass(frozen=True)
class Certificate:
    """The certificate of a node's API."""

    path: str
    fingerprint: str | None = None  # SHA-256; None: it cannot be read
    ends: float | None = None  # seconds since 1970
    authority_ends: float | None = None  # of the cluster's own
    signed: bool | None = None  # by the cluster's authority; None for one that users brought
    served: str | None = None  # fingerprint of what the API presents; None: it does not answer


@dataclass(frozen=True)
class HaFiles:
    """What the HA manager and its agents have written last; ages in seconds, by this node's clock."""

    resources: int = 0
    master: str | None = None
    master_age_s: float | None = None
    agent_ages_s: dict[str, float] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)  # guest -> state


@dataclass(frozen=True)
class Card:
    """A network interface that has an address."""

    name: str
    addresses: list[str]  # without prefix
    mtu: int
    up: bool  # with carrier


@dataclass(frozen=True)
class Reached:
    """Whether a neighbour answers a ping."""

    name: str
    link: int | None  # None: on its management address
    address: str
    small: bool
    large: bool | None = None  # packets of the interface's own size; None: not tried


@dataclass(frozen=True)
class DiagnosisReport:
    """Step `diagnosis`: all that one machine shows; what could not be found out is None or empty, and `unanswered` names it.

    Attributes:
        node: its name.
        resolves: the addresses that its name has there.
        version: of Proxmox VE; empty: not installed.
        time: of its clock, when it was asked.
        cores, memory_mib: of the machine.
        pve: "mounted", "absent", or "hangs".
        pve_writable: by the mode of /etc/pve, which pmxcfs takes away without quorum; nothing is written.
        pmxcfs: "" when it does not run, "local" when it was started with -l, else "cluster".
        authkey: SHA-256 of corosync's key; None: there is none.
        local, shared: corosync.conf in /etc/corosync and in /etc/pve.
        loaded: the config_version that the running corosync has taken.
        quorum, links: what corosync says; None, empty: it does not run.
        services: the state of each unit, as systemd names it.
        online: the nodes whose pmxcfs this one sees, itself included.
        certified: the nodes that have a certificate in /etc/pve/nodes: the last thing that a join makes.
        read_only: file systems that a node writes to, and are mounted so that nobody can.
        storages: by name; None: not asked, because pvestatd or pmxcfs does not run, or without an answer.
        unanswered: the attributes for which the question failed, or did not end in time.
    """

    node: str
    resolves: list[str] = field(default_factory=list)
    version: str = ""
    time: float = 0.0
    cores: int = 0
    memory_mib: int = 0
    pve: str = "absent"
    pve_writable: bool = False
    pmxcfs: str = ""
    authkey: str | None = None
    local: ConfFile | None = None
    shared: ConfFile | None = None
    loaded: int | None = None
    quorum: Quorum | None = None
    links: list[PeerLink] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    online: list[str] = field(default_factory=list)
    certified: list[str] = field(default_factory=list)
    guests: int = 0
    spaces: list[Space] = field(default_factory=list)
    certificate: Certificate | None = None
    watchdog: Watchdog | None = None
    ha: HaFiles | None = None
    storages: dict[str, Datastore] | None = None
    cards: list[Card] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)
    read_only: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
