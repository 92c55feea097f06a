"""From what a cluster is to what it is to be: which transitions, in which order. Pure: no I/O.

The order keeps the largest number of failures survivable: the votes of nodes that are gone go first, nodes are added before
others are removed, and transitions run strictly one after another. Each one follows from what is left to do at that moment:
planning again after any of them gives the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.planning import refusals
from cluster.planning.model import (
    AddLink,
    AddMember,
    ChangeLinkAddress,
    ChangePriority,
    ChangeTotem,
    ChangeVotes,
    Planned,
    RemoveLink,
    RemoveMember,
    RemoveQDevice,
    ReplaceMember,
    SetQDevice,
    Shape,
)
from cluster.planning.rewriting import ONLY_BY_RESTART

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cluster.planning.model import Seen, Transition
    from onnode.cluster.corosync import ConfNode


def plan(recorded: Mapping[str, Mapping[int, str]], live: Shape, seen: Seen, wanted: Shape) -> list[Planned]:
    """The transitions from a live cluster to the described one, in the order in which they are to run.

    Args:
        recorded: the nodes that this stack described before, by name, with their addresses on links: only these are ever removed.
        live: the cluster as its newest configuration lists it.
        seen: how its members do.
        wanted: the described cluster.

    Raises:
        AdminError: node-id-twice, other-cluster, member-unknown, identity-changed, identity-taken, link-address-taken, witness-member, link-last,
            link-while-leaving, member-silent, cluster-busy, plan-loses-quorum.
    """
    refusals.doubled(live)
    refusals.foreign(recorded, live, wanted)
    refusals.member_as_witness(live, wanted)
    wanted = replace(wanted, former=recorded)
    planned: list[Planned] = []
    for shape, now, step in _walk(live, seen, wanted):
        refusals.disturbed(step.transition, now)
        refusals.silent(step.transition, shape, now, wanted)
        refusals.link_while_leaving(step.transition, shape, wanted)
        refusals.taken(step.transition, shape, after(shape, step.transition, wanted), wanted)
        if _loses_quorum(shape, step):
            votes = _votes(*_worst(shape, now, step.transition, wanted))
            raise refusals.loses_quorum(step.transition, *votes, _way(live, seen, wanted))
        planned.append(step)
    transitions = [step.transition for step in planned]
    changing = {one.link for one in transitions if isinstance(one, (ChangeLinkAddress, RemoveLink))}
    refusals.no_link_stays(live, seen, wanted, changing)
    return planned


def survivable(nodes: Mapping[str, ConfNode], voting: Iterable[str], *, device: int = 0, cast: int = 0) -> int:
    """How many more nodes may fail, those with the most votes first; -1 when there is no quorum as it is.

    Args:
        nodes: all listed nodes: their votes are expected (votequorum(5)).
        voting: those that vote.
        device: votes that are expected of a QDevice.
        cast: votes that it casts.
    """
    needed = (sum(node.votes for node in nodes.values()) + device) // 2 + 1
    votes = sorted((nodes[name].votes for name in voting if name in nodes), reverse=True)
    total, failures = sum(votes) + cast, -1
    for lost in [0, *votes]:
        total -= lost
        if total < needed:
            break
        failures += 1
    return failures


def after(shape: Shape, transition: Transition, wanted: Shape) -> Shape:
    """The cluster's configuration when a transition has ended."""
    nodes = dict(shape.nodes)
    match transition:
        case AddMember(name):
            nodes[name] = wanted.nodes[name]
        case RemoveMember(name) | ReplaceMember(name):
            del nodes[name]
        case ChangeVotes(votes):
            nodes |= {name: replace(nodes[name], votes=count) for name, count in votes.items()}
        case ChangeLinkAddress(link, addresses) | AddLink(link, addresses):
            nodes |= {
                name: replace(nodes[name], links={**nodes[name].links, link: at}) for name, at in addresses.items()
            }
        case RemoveLink(link):
            kept = {number: priority for number, priority in shape.priorities.items() if number != link}
            return replace(shape, nodes={name: _without(node, link) for name, node in nodes.items()}, priorities=kept)
        case ChangePriority(link, priority):
            return replace(shape, priorities={**shape.priorities, link: priority})
        case ChangeTotem(settings):
            return replace(shape, totem={**shape.totem, **settings})
        case SetQDevice(witness):
            return replace(shape, witness=witness, witness_votes=wanted.witness_votes)
        case RemoveQDevice():
            return replace(shape, witness=None)
    return replace(shape, nodes=nodes)


def seen_after(seen: Seen, transition: Transition) -> Seen:
    """How the members do when a transition has ended well."""
    match transition:
        case AddMember(name):
            return replace(seen, voting=seen.voting | {name})
        case RemoveMember(name) | ReplaceMember(name):
            return replace(seen, voting=seen.voting - {name}, lost=seen.lost - {name})
        case SetQDevice():
            return replace(seen, witness=True)
        case RemoveQDevice():
            return replace(seen, witness=False)
    return seen


def _without(node: ConfNode, link: int) -> ConfNode:
    return replace(node, links={number: address for number, address in node.links.items() if number != link})


# -- the order ---------------------------------------------------------------------------------------------------------


def _walk(live: Shape, seen: Seen, wanted: Shape) -> Iterator[tuple[Shape, Seen, Planned]]:
    """Each transition with the cluster before it, also those that cannot be."""
    shape, now = live, seen
    while (transition := next(_left(shape, now, wanted), None)) is not None:
        yield shape, now, Planned(transition, _during(shape, now, transition, wanted))
        shape, now = after(shape, transition, wanted), seen_after(now, transition)


def _left(shape: Shape, seen: Seen, wanted: Shape) -> Iterator[Transition]:
    """What is to be done next, then what else is, each as far as it can be told now."""
    leavers = sorted((node for name, node in shape.nodes.items() if name not in wanted.nodes), key=lambda node: node.id)
    joiners = sorted((node for name, node in wanted.nodes.items() if name not in shape.nodes), key=lambda node: node.id)
    # An entry whose node does not vote only costs: what is left may lose fewer nodes.
    yield from (ReplaceMember(name) for name in sorted(seen.lost & shape.nodes.keys() & wanted.nodes.keys()))
    yield from (RemoveMember(node.name) for node in leavers if node.name not in seen.voting)
    witness = _witness(wanted)
    # The number of nodes never changes under a QDevice: Proxmox VE wants it removed before.
    if shape.witness and (shape.witness != witness or leavers or joiners):
        yield RemoveQDevice(shape.witness)
    yield from _configuration(shape, wanted)
    yield from (AddMember(node.name) for node in joiners)
    if leavers:
        yield RemoveMember(_least_needed(leavers, shape, seen).name)
    if witness and shape.witness is None:
        yield SetQDevice(witness)


def _witness(wanted: Shape) -> str | None:
    """An odd number of nodes needs none, and Proxmox VE sets up none."""
    return None if len(wanted.nodes) % 2 else wanted.witness


def _least_needed(leavers: list[ConfNode], shape: Shape, seen: Seen) -> ConfNode:
    return max(leavers, key=lambda node: (survivable(shape.nodes, seen.voting - {node.name}), -node.id))


def _configuration(shape: Shape, wanted: Shape) -> Iterator[Transition]:
    stay = {name: node for name, node in shape.nodes.items() if name in wanted.nodes}
    yield from _links(shape, stay, wanted)
    for link, priority in sorted(wanted.priorities.items()):
        if shape.priorities.get(link) != priority:
            yield ChangePriority(link, priority)
    votes = {name: wanted.nodes[name].votes for name, node in stay.items() if node.votes != wanted.nodes[name].votes}
    yield from [ChangeVotes(votes)] if votes else []
    totem = {name: value for name, value in wanted.totem.items() if shape.totem.get(name) != value}
    yield from [ChangeTotem(totem)] if totem else []


def _links(shape: Shape, stay: Mapping[str, ConfNode], wanted: Shape) -> Iterator[Transition]:
    """New links before others change, and those that go at last."""
    has = set[int]().union(*(node.links for node in shape.nodes.values()))
    wants = set[int]().union(*(node.links for node in wanted.nodes.values()))
    for link in sorted(wants - has) if stay else ():
        ends = {name: wanted.nodes[name].links[link] for name in stay if link in wanted.nodes[name].links}
        yield AddLink(link, ends | _former_ends(shape, wanted, link, ends))
    for link in sorted(wants & has):
        changed = {
            name: wanted.nodes[name].links[link]
            for name, node in stay.items()
            if link in wanted.nodes[name].links and node.links.get(link) != wanted.nodes[name].links[link]
        }
        yield from [ChangeLinkAddress(link, changed)] if changed else []
    yield from (RemoveLink(link) for link in sorted(has - wants))


def _former_ends(shape: Shape, wanted: Shape, link: int, ends: Mapping[str, str]) -> dict[str, str]:
    """The ends of a link on nodes that leave: where a change of it was cut off between its two stages, no node has one.

    Corosync wants one for each listed node. It is of use no more, and so it must not stand in anybody's way.
    """
    used = {*ends.values(), *(address for node in shape.nodes.values() for address in node.links.values())}
    leavers = shape.nodes.keys() - wanted.nodes.keys()
    had = {name: wanted.former[name][link] for name in leavers if link in wanted.former.get(name, {})}
    return {name: address for name, address in sorted(had.items()) if address not in used}


# -- quorum ------------------------------------------------------------------------------------------------------------


def _during(shape: Shape, seen: Seen, transition: Transition, wanted: Shape) -> int:
    """How many nodes may fail at its worst moment."""
    return _survives(*_worst(shape, seen, transition, wanted))


def _worst(shape: Shape, seen: Seen, transition: Transition, wanted: Shape) -> tuple[Shape, Seen]:
    """The moment at which the fewest nodes may fail."""
    then = after(shape, transition, wanted)
    match transition:
        case AddMember():
            # A join counts from its start, and the joiner does not vote yet. A described node that is listed and silent has to work
            # before: it may be one whose own join was cut off, and is finished first.
            return then, replace(seen, voting=seen.voting | (shape.nodes.keys() & wanted.nodes.keys() - seen.lost))
        case RemoveMember(name) | ReplaceMember(name):  # it is off, and still listed
            return shape, replace(seen, voting=seen.voting - {name})
        case ChangeVotes() | RemoveQDevice() | SetQDevice():  # a new witness is expected before it votes
            return min(shape, then, key=lambda moment: _survives(moment, seen)), seen
        case ChangeTotem(settings) if settings.keys() & set(ONLY_BY_RESTART):  # corosync is restarted, node by node
            without = [replace(seen, voting=seen.voting - {name}) for name in seen.voting]
            return shape, min([seen, *without], key=lambda moment: _survives(shape, moment))
    return shape, seen


def _survives(shape: Shape, seen: Seen) -> int:
    device = _device(shape)
    return survivable(shape.nodes, seen.voting, device=device, cast=device if seen.witness else 0)


def _votes(shape: Shape, seen: Seen) -> tuple[int, int]:
    """The votes at a moment, and those that are expected."""
    device, expected = _device(shape), sum(node.votes for node in shape.nodes.values())
    votes = sum(node.votes for name, node in shape.nodes.items() if name in seen.voting)
    return votes + (device if seen.witness else 0), expected + device


def _device(shape: Shape) -> int:
    """The votes that are expected of the QDevice (corosync-qdevice(8))."""
    if shape.witness is None:
        return 0
    return sum(node.votes for node in shape.nodes.values()) - 1 if shape.witness_votes is None else shape.witness_votes


def _loses_quorum(shape: Shape, step: Planned) -> bool:
    """Whether quorum is lost, other than by the join to a single node: one vote of two is never enough."""
    return step.survives < 0 and not (isinstance(step.transition, AddMember) and len(shape.nodes) == 1)


def _with_votes(wanted: Shape, name: str, votes: int) -> Shape:
    return replace(wanted, nodes={**wanted.nodes, name: replace(wanted.nodes[name], votes=votes)})


def _works(live: Shape, seen: Seen, wanted: Shape) -> bool:
    return not any(_loses_quorum(shape, step) for shape, _, step in _walk(live, seen, wanted))


def _in_two_runs(live: Shape, seen: Seen, wanted: Shape) -> str:
    """Nodes join in one run, and others leave in the next; empty where that does not keep the quorum either."""
    leavers = {name: node for name, node in live.nodes.items() if name not in wanted.nodes and name not in seen.lost}
    joiners = {name: node for name, node in wanted.nodes.items() if name not in live.nodes}
    modest = {name: replace(node, votes=1) for name, node in joiners.items()}
    if joiners and leavers:
        for votes, joining in (("", joiners), (" with 1 vote each", modest)):
            if _works(live, seen, replace(wanted, nodes={**wanted.nodes, **leavers, **joining})):
                names = ", ".join(sorted(joiners))
                return f"add {names}{votes} in this run, and leave {', '.join(sorted(leavers))} out in the next one"
    return ""


def _way(live: Shape, seen: Seen, wanted: Shape) -> str:
    """The smallest change with which the whole plan keeps its quorum."""
    silent = live.nodes.keys() - seen.voting - seen.lost
    if silent and _works(live, replace(seen, voting=seen.voting | silent), wanted):
        return f"bring {' and '.join(sorted(silent))} back first, then run the same command again"
    nodes = sorted(wanted.nodes.values(), key=lambda node: node.id)
    for joiner in nodes:
        if joiner.name not in live.nodes and _works(live, seen, _with_votes(wanted, joiner.name, 1)):
            return f"describe {joiner.name} with 1 vote; give it more in another run, when it has joined"
    for more in range(1, sum(node.votes for node in [*live.nodes.values(), *nodes]) + 2):
        for node in nodes:
            there = node.name in seen.voting or node.name not in live.nodes
            if there and _works(live, seen, _with_votes(wanted, node.name, node.votes + more)):
                return f"give {node.name} {node.votes + more} votes in the same change (`votes` under nodes)"
    return _in_two_runs(live, seen, wanted) or "bring back the nodes that are down, or add a node first"
