"""What is planned with: the cluster as it is, as it is to be, and the transitions between the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnode.cluster.corosync import ConfNode


@dataclass(frozen=True)
class Shape:
    """A cluster's configuration, as it is or as it is to be.

    Attributes:
        cluster: its name.
        nodes: its nodes by name.
        priorities: of links by number; the higher one wins. What is to be has only those that are described.
        totem: settings of corosync's section `totem` by name. What is to be has only those that are described.
        witness: the address of the QDevice's server.
        witness_votes: what the QDevice gives; None: one less than the nodes have.
        former: of what is to be: the addresses on links, by number, of nodes that were described before, by name.
    """

    cluster: str
    nodes: Mapping[str, ConfNode]
    priorities: Mapping[int, int] = field(default_factory=dict)
    totem: Mapping[str, str] = field(default_factory=dict)
    witness: str | None = None
    witness_votes: int | None = 1
    former: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What the machines show beyond the configuration, at this moment.

    Attributes:
        voting: the members that take part in the vote.
        lost: listed nodes that will not come back as they are: the VM is gone, or the machine was installed anew.
        broken: pairs of members, in the order of their names, with the number of a link that does not connect them.
        busy: what is going on that no transition may disturb, in words: "vm:200 migrates".
        witness: the QDevice casts its vote.
    """

    voting: frozenset[str]
    lost: frozenset[str] = frozenset()
    broken: frozenset[tuple[str, str, int]] = frozenset()
    busy: tuple[str, ...] = ()
    witness: bool = False


@dataclass(frozen=True)
class AddMember:
    """A node joins."""

    name: str


@dataclass(frozen=True)
class RemoveMember:
    """A node leaves for good: its guests first, then its power, proven from all others, then its entry."""

    name: str


@dataclass(frozen=True)
class ReplaceMember:
    """The entry of a lost node goes, so that the node can join anew under the same name, id and addresses."""

    name: str


@dataclass(frozen=True)
class ChangeVotes:
    """Nodes have other numbers of votes."""

    votes: Mapping[str, int]


@dataclass(frozen=True)
class ChangePriority:
    """A link has another priority."""

    link: int
    priority: int


@dataclass(frozen=True)
class ChangeLinkAddress:
    """A link gets other addresses on some nodes; meanwhile it is out of use."""

    link: int
    addresses: Mapping[str, str]


@dataclass(frozen=True)
class AddLink:
    """The nodes are connected by a further link."""

    link: int
    addresses: Mapping[str, str]


@dataclass(frozen=True)
class RemoveLink:
    """A link is not used any more."""

    link: int


@dataclass(frozen=True)
class ChangeTotem:
    """Settings of corosync's section `totem`."""

    settings: Mapping[str, str]


@dataclass(frozen=True)
class SetQDevice:
    """A witness gets a vote."""

    witness: str


@dataclass(frozen=True)
class RemoveQDevice:
    """The witness has no vote any more."""

    witness: str


Transition = (
    AddMember
    | RemoveMember
    | ReplaceMember
    | ChangeVotes
    | ChangePriority
    | ChangeLinkAddress
    | AddLink
    | RemoveLink
    | ChangeTotem
    | SetQDevice
    | RemoveQDevice
)


@dataclass(frozen=True)
class Planned:
    """One transition of a plan.

    Attributes:
        transition: what is done.
        survives: how many nodes may fail during it, in the worst case, with the others staying quorate; -1 where the others are
            not quorate until a node has joined, as those of one node never are.
    """

    transition: Transition
    survives: int
