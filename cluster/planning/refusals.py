"""Why there is no way from a live cluster to the described one. Each refusal names the smallest change that would work. Pure."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from cluster.errors import AdminError
from cluster.planning import words
from cluster.planning.model import (
    AddLink,
    AddMember,
    ChangeLinkAddress,
    ChangeTotem,
    RemoveLink,
    RemoveMember,
    ReplaceMember,
)
from onnode.cluster import corosync

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cluster.planning.model import Seen, Shape, Transition
    from onnode.cluster.corosync import ConfNode

DISTURBS = (ChangeLinkAddress, AddLink, RemoveLink, ChangeTotem, RemoveMember)
MEMBERSHIP = (AddMember, RemoveMember, ReplaceMember)


def doubled(live: Shape) -> None:
    """Refuse a list of nodes that is broken in itself.

    Raises:
        AdminError: node-id-twice.
    """
    if twice := corosync.doubled_ids(list(live.nodes.values())):
        raise AdminError(
            "node-id-twice",
            "the cluster's configuration holds a node id twice",
            observed="; ".join(twice),
            expected="an id of its own for each node",
        )


def foreign(recorded: Iterable[str], live: Shape, wanted: Shape) -> None:
    """Refuse another cluster, members of somebody else, and another id.

    Raises:
        AdminError: other-cluster, member-unknown, identity-changed.
    """
    if live.cluster != wanted.cluster:
        raise AdminError(
            "other-cluster",
            f"nodes belong to another cluster than {wanted.cluster}",
            observed=f"cluster {live.cluster}",
            expected=f"nodes of cluster {wanted.cluster}, or stand-alone ones",
        )
    if unknown := sorted(live.nodes.keys() - {*recorded, *wanted.nodes}):
        raise AdminError(
            "member-unknown",
            "the live cluster has members that were never described",
            observed=", ".join(unknown),
            expected=f"only {', '.join(sorted(wanted.nodes))}",
            fix=f"describe {', '.join(unknown)} under nodes in the stack file; to remove them, leave them out after that; one that this "
            "stack began to add and that never came up: power it off, and run the same command again",
        )
    changed = sorted(
        name for name in live.nodes.keys() & wanted.nodes.keys() if live.nodes[name].id != wanted.nodes[name].id
    )
    if changed:
        raise AdminError(
            "identity-changed",
            "a member's id cannot be changed",
            observed="; ".join(f"{name} has id {live.nodes[name].id}" for name in changed),
            expected="; ".join(f"{name} with id {wanted.nodes[name].id}" for name in changed),
            fix="put the old id back; or leave the node out, `make up`, and describe it again with the new id",
        )


def member_as_witness(live: Shape, wanted: Shape) -> None:
    """Refuse a witness that is a node of the cluster: it would fail together with that node.

    Raises:
        AdminError: witness-member.
    """
    nodes = [*live.nodes.values(), *wanted.nodes.values()]
    same = [node.name for node in nodes if wanted.witness in (node.name, *node.links.values())]
    if same:
        raise AdminError(
            "witness-member",
            "a node of the cluster cannot be its witness",
            observed=f"{wanted.witness} is {same[0]}",
            expected="a machine outside of the cluster",
            fix=f"name another machine than {same[0]} as the QDevice's host",
        )


def disturbed(transition: Transition, seen: Seen) -> None:
    """Refuse what would disturb something that is going on.

    Raises:
        AdminError: cluster-busy.
    """
    if seen.busy and isinstance(transition, DISTURBS):
        raise AdminError(
            "cluster-busy",
            f"something is going on that must end first: {words.done(transition)}",
            observed="; ".join(seen.busy),
            expected="no migration, no backup, and no HA guest between two states",
        )


def silent(transition: Transition, shape: Shape, seen: Seen, wanted: Shape) -> None:
    """Refuse to change the configuration while a member that stays would not hear of it.

    Raises:
        AdminError: member-silent.
    """
    quiet = sorted((shape.nodes.keys() & wanted.nodes.keys()) - seen.voting)
    if quiet and not isinstance(transition, MEMBERSHIP):
        raise AdminError(
            "member-silent",
            f"members that stay do not take part in the vote, so they would not hear of it: {words.done(transition)}",
            observed=f"no vote of {', '.join(quiet)}",
            expected="the votes of all members that stay",
            fix=f"bring {' and '.join(quiet)} up, then run the same command again",
        )


def link_while_leaving(transition: Transition, shape: Shape, wanted: Shape) -> None:
    """Refuse a new link while a node is listed that has no address on it: Corosync takes no such configuration.

    Raises:
        AdminError: link-while-leaving.
    """
    leavers = sorted(shape.nodes.keys() - wanted.nodes.keys())
    new = set[int]()
    if isinstance(transition, AddLink):
        leavers = [name for name in leavers if name not in transition.addresses]
        new = {transition.link}
    elif isinstance(transition, AddMember):
        new = wanted.nodes[transition.name].links.keys() - _links(shape)
    if leavers and new:
        raise AdminError(
            "link-while-leaving",
            f"link {min(new)} cannot be added in the run in which a node leaves",
            observed=f"{', '.join(leavers)} would be listed without an address on link {min(new)}",
            expected="an address on each link for every listed node",
            fix=f"leave link {min(new)} out of cluster.links in this run, and the other links as they are; add it in the next one",
        )


def taken(transition: Transition, shape: Shape, then: Shape, wanted: Shape) -> None:
    """Refuse a name, an id or an address that another node has at that moment.

    Proxmox VE takes a second node of an id in, and its corosync does not start; nor does that of the first then.

    Args:
        transition: what is to be done.
        shape: the cluster before it.
        then: the cluster after it.
        wanted: the described cluster.

    Raises:
        AdminError: identity-taken, link-address-taken.
    """
    if isinstance(transition, AddMember):
        joiner = then.nodes[transition.name]
        clashes = {node.name: what for node in shape.nodes.values() if (what := _same(joiner, node))}
        if clashes:
            raise _identity_taken(joiner, clashes, wanted)
    elif isinstance(transition, (ChangeLinkAddress, AddLink)):
        _refuse_in_use(transition, then, wanted)


def _same(joiner: ConfNode, member: ConfNode) -> list[str]:
    names = [f"the name {joiner.name}"] if joiner.name.lower() == member.name.lower() else []
    ids = [f"id {joiner.id}"] if joiner.id == member.id else []
    used = set(member.links.values())
    return [*names, *ids, *(address for address in joiner.links.values() if address in used)]


def _identity_taken(joiner: ConfNode, clashes: Mapping[str, list[str]], wanted: Shape) -> AdminError:
    leavers = [name for name in clashes if name not in wanted.nodes]
    return AdminError(
        "identity-taken",
        "a name, id or link address of a joining node belongs to a member of the live cluster",
        observed="; ".join(
            f"{joiner.name} is to have {one}, which {name} has" for name, what in clashes.items() for one in what
        ),
        expected="a name, an id and link addresses of its own for each node",
        fix=(
            f"leave {', '.join(leavers)} out, `make up`, and describe {joiner.name} then"
            if leavers and len(wanted.nodes) > 1
            else f"give {joiner.name} a name, an id and link addresses of its own"
        ),
    )


def _refuse_in_use(transition: ChangeLinkAddress | AddLink, then: Shape, wanted: Shape) -> None:
    for name, address in transition.addresses.items():
        users = [
            (node.name, link)
            for node in then.nodes.values()
            for link, other in node.links.items()
            if other == address and (node.name, link) != (name, transition.link)
        ]
        for user, link in users:
            raise AdminError(
                "link-address-taken",
                f"{name} cannot have {address} on link {transition.link}: it is in use",
                observed=f"{user} has it on link {link}",
                expected="an address of its own for each end of a link",
                fix=_freed(name, address, user, link, wanted),
            )


def _freed(name: str, address: str, user: str, link: int, wanted: Shape) -> str:
    """How that address comes to be free."""
    if user not in wanted.nodes:
        return f"leave {user} out, `make up`, and give {name} the address then"
    if wanted.nodes[user].links.get(link) != address:
        return f"change or remove link {link} of {user} first, `make up`, and give {name} the address then"
    return f"give {name} another address"


def no_link_stays(live: Shape, seen: Seen, wanted: Shape, changing: Collection[int]) -> None:
    """Refuse when two voting members would not always have a link that works, and whose ends the whole plan leaves as they are.

    While a link changes on some nodes, it is out of use between all. One that changed earlier in the same run does not count: where
    that goes wrong unseen, nothing else would hold the two together.

    Args:
        live: the live cluster.
        seen: how its members do.
        wanted: the described cluster.
        changing: numbers of the links that change or go.

    Raises:
        AdminError: link-last.
    """
    pairs = list(combinations(sorted(name for name in live.nodes if name in seen.voting), 2)) if changing else []
    broken = {(one, other): {n for *ends, n in seen.broken if ends == [one, other]} for one, other in pairs}
    for one, other in pairs:
        shared = live.nodes[one].links.keys() & live.nodes[other].links.keys()
        kept = {link for link in shared if _is_kept(live, wanted, one, link) and _is_kept(live, wanted, other, link)}
        works = kept - broken[one, other]
        if any(works == {link} or not works for link in changing):
            raise AdminError(
                "link-last",
                f"no link would connect {one} and {other} while the links change",
                observed=_states(shared, changing, broken[one, other]),
                expected="at every moment a link between each two members that works, and that does not change",
                fix=(
                    f"bring link {min(rest)} between {one} and {other} back, then run the same command again"
                    if (rest := shared - set(changing))
                    else _kept_instead(shared, set[int]().union(*broken.values()), _links(live), _links(wanted))
                ),
            )


def _is_kept(live: Shape, wanted: Shape, name: str, link: int) -> bool:
    if name in wanted.nodes:
        return live.nodes[name].links.get(link) == wanted.nodes[name].links.get(link)
    return any(link in node.links for node in wanted.nodes.values())


def _states(shared: Iterable[int], changing: Collection[int], broken: Collection[int]) -> str:
    states = {link: "changes" if link in changing else "does not connect them" for link in sorted(shared)}
    return ", ".join(f"link {link} {state}" for link, state in states.items() if link in {*changing, *broken})


def _links(shape: Shape) -> set[int]:
    return set[int]().union(*(node.links for node in shape.nodes.values()))


def _kept_instead(shared: Collection[int], broken: Collection[int], has: set[int], wants: set[int]) -> str:
    """Which link can stay for now: one that goes, or else the others would change in turn for ever."""
    if len(shared) == 1 and wants <= has:
        return "add a link to cluster.links and run `make up`; then change this one"
    link = min(shared, key=lambda number: (number in broken, number in wants, number))
    return f"leave link {link} as it is in this run, and change it in the next one"


def loses_quorum(transition: Transition, votes: int, expected: int, fix: str) -> AdminError:
    """The refusal of a transition during which there would be no quorum.

    Args:
        transition: what is to be done.
        votes: those that are there at its worst moment.
        expected: those that are expected then.
        fix: what would work.
    """
    return AdminError(
        "plan-loses-quorum",
        f"the cluster would have no quorum: {words.done(transition)}",
        observed=f"{votes} of {expected} votes then, {expected // 2 + 1} needed",
        expected="quorum at every moment",
        fix=fix,
    )
