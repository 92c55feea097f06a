"""Whether a configuration of corosync is in force everywhere: what must be seen before the next change. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnode.cluster import corosync

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from onnode.cluster.corosync import Conf, ConfNode
    from onnode.contract.corosync import CorosyncReport
    from onnode.errors import StepError

Broken = frozenset[tuple[str, str, int]]  # from, to, link


def amiss(
    conf: Conf,
    answers: Mapping[str, CorosyncReport | StepError],
    *,
    but: Collection[tuple[str, str, int]] = (),
    leaving: Collection[str] = (),
) -> list[str]:
    """What is not as the configuration wants it, in the eyes of each of its nodes.

    Args:
        conf: what is to be in force.
        answers: of its nodes, by name; each has to be there.
        but: connections that need not work: from, to, link.
        leaving: nodes that leave the cluster after this change, and so keep their old ends of links. They have to vote, on whatever
            link.
    """
    found: list[str] = []
    for node in conf.nodes:
        look = answers.get(node.name)
        if look is None or isinstance(look, Exception):
            found.append(f"{node.name} does not answer" + (f" ({look.code})" if look else ""))
            continue
        problems = [*_version(conf, look), *_votes(conf, look)]
        # What it says of links is of use only when it runs that configuration.
        if not problems and node.name not in leaving:
            problems = [*_addresses(look), *_broken_words(conf, look, but, leaving)]
        found += problems
    return found


def broken(conf: Conf, answers: Mapping[str, CorosyncReport | StepError]) -> Broken:
    """The connections that do not work: from, to, link."""
    return frozenset(
        (look.node, peer.name, link)
        for look in answers.values()
        if not isinstance(look, Exception)
        for peer, link in _silent(conf, look)
    )


def apart(conf: Conf, links: Collection[int], broken: Broken) -> list[str]:
    """The members that nothing would connect while these links are out of use."""
    nodes = sorted(conf.nodes, key=lambda node: node.id)
    pairs = [(one, other) for index, one in enumerate(nodes) for other in nodes[index + 1 :]]
    return [
        f"no other link connects {one.name} and {other.name}"
        for one, other in pairs
        if links
        and not any(
            {(one.name, other.name, link), (other.name, one.name, link)}.isdisjoint(broken)
            for link in one.links.keys() & other.links.keys() - set(links)
        )
    ]


def _version(conf: Conf, look: CorosyncReport) -> Iterator[str]:
    if look.running_version is None:
        yield f"corosync does not run on {look.node}"
    elif look.running_version != conf.version:
        yield f"corosync of {look.node} runs version {look.running_version} of its configuration, not {conf.version}"
    elif look.local_version != conf.version:
        yield f"{look.node} has version {look.local_version} of corosync.conf, not {conf.version}"


def _votes(conf: Conf, look: CorosyncReport) -> Iterator[str]:
    if look.quorum is None:
        return
    if not look.quorate:
        yield f"{look.node} is not quorate"
    wanted = corosync.expected_votes(conf.nodes, conf.device)
    if look.quorum.expected != wanted:
        yield f"{look.node} expects {look.quorum.expected} votes, not {wanted}"
    cast = {voter.id: voter.votes for voter in look.quorum.members}
    for node in conf.nodes:
        if node.id not in cast:
            yield f"{look.node} sees no vote of {node.name}"
        elif cast[node.id] != node.votes:
            yield f"{look.node} counts {cast[node.id]} votes of {node.name}, not {node.votes}"


def _addresses(look: CorosyncReport) -> Iterator[str]:
    """Its own addresses as they are in use: corosync keeps a former one without a word."""
    own = look.listed(look.node)
    # Alone, corosync shows link 0 only.
    alone = own is not None and len(look.nodes) == 1 and look.addresses.items() <= own.links.items()
    if own is not None and look.addresses != own.links and not alone:
        yield f"corosync of {look.node} uses {_shown(look.addresses)}, not {_shown(own.links)}"


def _shown(links: Mapping[int, str]) -> str:
    return ", ".join(f"link {link} {address}" for link, address in sorted(links.items())) or "no link"


def _broken_words(
    conf: Conf, look: CorosyncReport, but: Collection[tuple[str, str, int]], leaving: Collection[str]
) -> Iterable[str]:
    return [
        f"link {link} from {look.node} to {peer.name} is not connected"
        for peer, link in _silent(conf, look)
        if (look.node, peer.name, link) not in but and peer.name not in leaving
    ]


def _silent(conf: Conf, look: CorosyncReport) -> Iterator[tuple[ConfNode, int]]:
    connected = {(link.node_id, link.link) for link in look.links if link.connected}
    for peer in conf.nodes:
        if peer.name != look.node:
            yield from ((peer, link) for link in sorted(peer.links) if (peer.id, link) not in connected)
