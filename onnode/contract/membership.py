"""What a node reports about its cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnode.cluster.corosync import KNET, ConfNode, Device, PeerLink, Quorum


@dataclass(frozen=True)
class Membership:
    """One node's own word about its cluster."""

    node: str
    state: str  # "absent": stand-alone | "half": what an interrupted join leaves (F2) | "member": quorate or not
    missing: list[str] = field(default_factory=list)  # of half a member
    cluster: str | None = None
    config_version: int | None = None
    nodes: list[ConfNode] = field(default_factory=list)
    priorities: dict[int, int] = field(default_factory=dict)  # of links, by number
    transport: str = KNET
    totem: dict[str, str] = field(default_factory=dict)  # the values of that section of corosync.conf
    device: Device | None = None  # the QDevice that is configured
    device_state: str | None = None  # of the connection to its server: "Connected"; None where nothing connects to it
    edited: bool = False  # somebody's next corosync.conf lies beside it
    quorate: bool = False
    quorum: Quorum | None = None  # None: corosync does not run
    links: list[PeerLink] = field(default_factory=list)
    pve_mounted: bool = True
    pve_writable: bool = True
    api_fingerprint: str | None = None  # SHA-256, of the certificate that the node holds
    guests: list[int] = field(default_factory=list)

    def listed(self, name: str) -> ConfNode | None:
        """That node as this one's cluster configuration lists it."""
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def voters(self) -> set[int]:
        """Ids of the nodes that take part in the vote at this moment."""
        return {voter.id for voter in self.quorum.members} if self.quorum else set()

    @property
    def works(self) -> bool:
        """Whether it is a quorate member whose /etc/pve takes writes (F1)."""
        return self.state == "member" and self.quorate and self.pve_writable


@dataclass(frozen=True)
class MembershipReport(Membership):
    """Step `membership`: the above, and what is compared before a join."""

    pve_version: str = ""
    time: float = 0.0  # of the node's clock, when it was asked
    authorized_keys: list[str] = field(default_factory=list)  # fingerprints, as `ssh-keygen -l` prints them
