"""A transition as texts of corosync.conf, each of which is to be in force before the next. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.planning.model import AddLink, ChangeLinkAddress, ChangePriority, ChangeTotem, ChangeVotes, RemoveLink
from onnode.cluster import corosync, corosync_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnode.cluster.corosync import Conf

OWN = (ChangeVotes, ChangePriority, ChangeLinkAddress, AddLink, RemoveLink, ChangeTotem)
Rewriting = ChangeVotes | ChangePriority | ChangeLinkAddress | AddLink | RemoveLink | ChangeTotem
# Corosync reads it once, when it begins to use a peer (totemknet.c, knet_host_set_policy): a reload changes nothing.
ONLY_BY_RESTART = ("link_mode",)


def rewritten(text: str, transition: Rewriting) -> str:
    """The configuration as it is to be in the end, still under its number."""
    match transition:
        case ChangeVotes(votes):
            return corosync_file.with_votes(text, votes)
        case ChangePriority(link, priority):
            return corosync_file.with_priority(text, link, priority)
        case AddLink(link, addresses) | ChangeLinkAddress(link, addresses):
            return corosync_file.with_addresses(text, link, addresses)
        case RemoveLink(link):
            return corosync_file.without_link(text, link)
        case ChangeTotem(settings):
            return corosync_file.with_totem(text, settings)


def stages(text: str, target: str) -> list[str]:
    """The configurations from one to another, each under a higher number.

    Corosync takes no other address for a link that it uses ("To reconfigure an interface it must be deleted and recreated. A working
    interface needs to be available to corosync at all times"): the link is taken out first.
    """
    found = parsed(text)
    moved = sorted(_moved(found, parsed(target)))
    number = found.version + 1
    if not moved:
        return [corosync_file.with_version(target, number)]
    between = text
    for link in moved:
        between = corosync_file.without_addresses(between, link)
    return [corosync_file.with_version(between, number), corosync_file.with_version(target, number + 1)]


def needs_restart(text: str, target: str) -> bool:
    """Whether corosync takes some of it only when it starts."""
    before, after = parsed(text).totem, parsed(target).totem
    return any(before.get(key) != after.get(key) for key in ONLY_BY_RESTART)


def touched(text: str, target: str) -> set[int]:
    """The links whose addresses differ."""
    before, after = parsed(text), parsed(target)
    links = {link for conf in (before, after) for node in conf.nodes for link in node.links}
    return {link for link in links if _ends(before, link) != _ends(after, link)}


def parsed(text: str) -> Conf:
    """The configuration of a text that describes a cluster."""
    conf = corosync.parse_conf(text)
    if conf is None:
        raise ValueError("the text describes no cluster")
    return conf


def _moved(before: Conf, after: Conf) -> Iterator[int]:
    for link in {link for node in before.nodes for link in node.links}:
        was, is_to_be = _ends(before, link), _ends(after, link)
        if any(is_to_be.get(name, address) != address for name, address in was.items()):
            yield link


def _ends(conf: Conf, link: int) -> dict[str, str]:
    return {node.name: node.links[link] for node in conf.nodes if link in node.links}
