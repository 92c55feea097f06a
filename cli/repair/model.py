"""What can be repaired, and what one repair is. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cli.doctor.model import Cause, World
    from onnode.contract.repair import KeptConfs


@dataclass(frozen=True)
class Kind:
    """A repair by its name.

    Attributes:
        causes: of doctor that it answers.
        does: what is done, in one sentence.
        lost: what is lost at worst.
    """

    causes: tuple[str, ...]
    does: str
    lost: str


@dataclass(frozen=True)
class Guests:
    """Guests, where nodes are to leave what they call their cluster.

    Attributes:
        placed: the nodes of all guests, by number, as the side has it that stays.
        configured: by node that is to leave, the guests that it has in its own /etc/pve.
        running: by node that is to leave, the guests that run there: `vm:100`.
        managed: under HA, as the side has it that stays.
    """

    placed: Mapping[int, str] = field(default_factory=dict)
    configured: Mapping[str, list[int]] = field(default_factory=dict)
    running: Mapping[str, list[str]] = field(default_factory=dict)
    managed: Collection[str] = ()


@dataclass(frozen=True)
class Situation:
    """What a plan is made from: what doctor saw, and what else is looked at where a repair needs it.

    Attributes:
        world: of doctor.
        kept: the configurations that each node has, where one is broken.
        guests: where nodes are to leave; None: they were not to be found out.
        described: the corosync.conf that the stack file describes; empty where it says less than the cluster has.
    """

    world: World
    kept: Mapping[str, KeptConfs] = field(default_factory=dict)
    guests: Guests | None = None
    described: str = ""


@dataclass(frozen=True)
class Repair:
    """One repair of one cluster, at this moment.

    Attributes:
        name: of its kind.
        cause: what it answers.
        machines: those that it changes; each is backed up before.
        steps: what is done, in order, in words.
        chosen: nodes that it is about, where these are others: the dead ones.
        text: of the corosync.conf that is to be in force.
    """

    name: str
    cause: Cause
    machines: list[str]
    steps: list[str]
    chosen: list[str] = field(default_factory=list)
    text: str = field(default="", repr=False)

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """The same for the same repair, also after another look."""
        return self.name, self.cause.name, (*self.machines, *self.chosen)

    def does_the_same_as(self, other: Repair | None) -> bool:
        """Whether another look leads to the same acts, whatever it says of their cause."""
        return other is not None and (self.key, self.steps, self.text) == (other.key, other.steps, other.text)


@dataclass(frozen=True)
class ByHand:
    """A cause that nothing here mends: doctor's own advice, or why it is for a person."""

    cause: Cause
    why: str


CONF_CAUSES = (
    "shared-conf-broken",
    "shared-conf-older",
    "local-conf-broken",
    "local-conf-newer",
    "local-conf-older",
    "conf-version-not-raised",
    "conf-not-loaded",
)
LEAVING_CAUSES = ("half-joined", "keys-left-over", "removed-while-on", "cluster-split")
KINDS: Mapping[str, Kind] = {
    "services": Kind(
        (
            "corosync-stopped",
            "pmxcfs-stopped",
            "services-in-disorder",
            "pmxcfs-local",
            "pmxcfs-stuck",
            "pve-hangs",
            "services-stopped",
        ),
        "Corosync, pmxcfs and what reads /etc/pve start in this order; one that runs already starts anew only if it stands on another.",
        "What somebody wrote into /etc/pve while pmxcfs ran in local mode may give way to the cluster's; it is in the backup. Guests go on, "
        "but a node that HA has begun to fence may still be reset.",
    ),
    "corosync-conf": Kind(
        CONF_CAUSES,
        "The last whole corosync.conf comes back: on one node, or in /etc/pve under a higher version; the one that all run comes to /etc/pve.",
        "The edit that broke it; it is in the backup. Where corosync has to start, the node does not vote for some seconds.",
    ),
    "quorum": Kind(
        ("quorum-lost", "votes-expected"),
        "The nodes that are left expect fewer votes, HA takes the guests of the lost ones, and the lost ones go off the list.",
        "What the lost nodes had on their own disks, and what only they knew: a change that the others had not got before they lost "
        "the quorum. If they are on and only cut off from here, they may have the quorum, and guests of HA run twice: both write to their disks. "
        "If a lost node comes back as it was, it has the key of the cluster: two of them may call themselves the cluster.",
    ),
    "reset": Kind(
        ("half-joined", "keys-left-over"),
        "A node that is in no cluster's list becomes a clean stand-alone node again; then `make up` joins it.",
        "What /etc/pve of that node has of a join that stopped half way. Its own files stay.",
    ),
    "split": Kind(
        ("removed-while-on", "cluster-split"),
        "The side that gives way becomes clean stand-alone nodes again, while they cannot reach the others; then `make up` joins them.",
        "What was changed in /etc/pve of the side that gives way since the two went apart; it is in the backup. Guests that the other side "
        "has at these nodes run on, and have their configuration again when the node has joined.",
    ),
}
