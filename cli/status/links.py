"""Broken links between members: one finding for one cause. Pure."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import TYPE_CHECKING

from cli.status.model import Finding, joined

End = tuple[str, int]  # of a link: the node, and the link's number

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cli.status.look import NodeStatus
    from cli.status.model import Wanted
    from cluster.contract import Member


def broken_links(wanted: Wanted, nodes: dict[str, NodeStatus], down: Collection[End]) -> list[Finding]:
    """Broken links between members.

    Links to and from a node that is down are left out, and those of an end whose own address is down: it has a finding.
    """
    members = [member for member in joined(wanted, nodes) if nodes[member.name].health.services.get("corosync")]
    numbers = sorted({link.number for member in members for link in member.links})
    return [finding for number in numbers for finding in _link(number, members, nodes, down)]


def _link(number: int, members: Sequence[Member], nodes: dict[str, NodeStatus], down: Collection[End]) -> list[Finding]:
    """One finding for one cause: the switch of the link, one node's end of it, or one pair."""
    pairs = list(combinations(members, 2))
    seen_from = ([ends for ends in permutations(pair, 2) if _sees_cut(number, *ends, nodes)] for pair in pairs)
    broken = [ends[0] for ends in seen_from if ends and not any((one.name, number) in down for one in ends[0])]
    if len(broken) == len(pairs) > 1:
        fix = f"check the switch of link {number}; corosync-cfgtool -n on a member"
        return [Finding("cluster", f"link {number} connects no two members", fix)]
    # With two members, it cannot be seen which end is broken; with a third one, it can.
    lost = [member for member in members if sum(member in pair for pair in broken) == len(members) - 1 > 1]
    found = [
        Finding(member.name, f"has lost link {number} to every other member", _check_link(number, member))
        for member in lost
    ]
    return found + [
        Finding(near.name, f"link {number} to {far.name} ({link.address}) is not connected", _check_link(number, near))
        for near, far in broken
        if near not in lost and far not in lost
        for link in far.links
        if link.number == number
    ]


def _sees_cut(number: int, member: Member, peer: Member, nodes: dict[str, NodeStatus]) -> bool:
    links = nodes[member.name].health.links
    return not any((link.node_id, link.link) == (peer.node_id, number) and link.connected for link in links)


def _check_link(number: int, member: Member) -> str:
    return f"ssh root@{member.address} corosync-cfgtool -n; check the bridge or cable of link {number}"
