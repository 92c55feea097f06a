"""What a run remembers of the nodes that it described: enough to reach one, and to remove it, when it is described no more.

It is kept as facts of the steps that plan: ``{"members": {name: {"address", "host_key", "node_id", "votes", "links", "housing"}}}``.
The step ``identity`` runs first, and so it alone remembers what every run described: a run that fails ends before the later steps.
They are given its facts beside their own (:func:`together`).
The step that removes members also keeps ``departed``, in the same form: existing machines that left.
Facts of earlier versions have neither address nor housing: such a node is known by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster.contract import Housing, Machine
from onnode.contract.documents import document, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cluster.contract import ClusterChange


@dataclass(frozen=True)
class KnownMember:
    """A node as a run described it.

    Attributes:
        machine: how it is reached; None where an earlier version recorded the node.
        housing: its VM; None for an existing machine.
        links: its addresses on links, by number.
    """

    machine: Machine | None
    housing: Housing | None
    links: Mapping[int, str] = field(default_factory=dict)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of its links, and for management."""
        return (*self.links.values(), *([self.machine.address] if self.machine else []))


def known(previous: Mapping[str, Any] | None, part: str = "members") -> dict[str, KnownMember]:
    """The nodes that earlier runs described, by name; or those that departed."""
    return {name: _member(name, given) for name, given in (previous or {}).get(part, {}).items()}


def together(own: Mapping[str, Any] | None, identity: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a later step knows: what the step `identity` remembers, which is newer, and what it remembers itself."""
    mine, theirs = own or {}, identity or {}
    witnesses = sorted({*mine.get("witnesses", []), *theirs.get("witnesses", [])})
    return {
        **mine,
        "members": {**mine.get("members", {}), **theirs.get("members", {})},
        **({"witnesses": witnesses} if witnesses else {}),
    }


def _member(name: str, given: Mapping[str, Any]) -> KnownMember:
    housing = given.get("housing")
    return KnownMember(
        Machine(name, given["address"], given["host_key"]) if "address" in given else None,
        parse(Housing, housing) if housing else None,
        {int(number): address for number, address in given.get("links", {}).items()},
    )


def ends(members: Mapping[str, KnownMember]) -> dict[str, Mapping[int, str]]:
    """Their addresses on links, as the planner takes them."""
    return {name: one.links for name, one in members.items()}


def facts(desired: ClusterChange, previous: Mapping[str, Any] | None, listed: Collection[str]) -> dict[str, Any]:
    """What is to be remembered: the described nodes, and those of before that the live cluster still lists.

    A run that fails before it has removed a node would otherwise take that node for a stranger's the next time.
    """
    before = (previous or {}).get("members", {})
    kept = {name: given for name, given in before.items() if name in listed}
    now = {
        member.name: {
            "address": member.address,
            "host_key": member.host_key,
            "node_id": member.node_id,
            "votes": member.votes,
            "links": {str(link.number): link.address for link in member.links},
            "housing": document(desired.housing[member.name]) if member.name in desired.housing else None,
        }
        for member in desired.members
    }
    witnesses = described_witnesses(desired, previous)
    return {"cluster": desired.cluster, "members": kept | now, **({"witnesses": witnesses} if witnesses else {})}


def described_witnesses(desired: ClusterChange, previous: Mapping[str, Any] | None) -> list[str]:
    """The QDevices' servers that this stack describes, or described before: only these lose their vote."""
    before = (previous or {}).get("witnesses", [])
    return sorted({*before, *([desired.witness] if desired.witness else [])})


def departed(desired: ClusterChange, previous: Mapping[str, Any] | None, gone: Collection[str]) -> dict[str, Any]:
    """The existing machines that left the cluster, as they were remembered, until they are described again: they can be reset."""
    before = previous or {}
    left = {
        name: given for name, given in before.get("members", {}).items() if name in gone and not given.get("housing")
    }
    described = {member.name for member in desired.members}
    return {name: given for name, given in {**before.get("departed", {}), **left}.items() if name not in described}
