"""The live cluster, put together of what its members report. Pure: no I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cluster import formation
from cluster.planning.model import Seen, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.contract import ClusterChange
    from onnode.contract.membership import Membership


def newest(reports: Iterable[Membership]) -> Membership | None:
    """The report whose configuration counts: of a quorate member before others, then of the highest version; None without a cluster."""
    members = [report for report in reports if report.cluster is not None]
    return max(members, key=lambda report: (report.quorate, report.config_version or 0), default=None)


def shape(report: Membership) -> Shape:
    """The cluster as that member lists it."""
    nodes = {node.name: node for node in report.nodes}
    shape = Shape(report.cluster or "", nodes, report.priorities, report.totem)
    return replace(shape, witness=report.device.host, witness_votes=report.device.votes) if report.device else shape


def wanted(desired: ClusterChange) -> Shape:
    """The described cluster."""
    priorities = {
        link.number: link.priority
        for member in desired.members[:1]
        for link in member.links
        if link.priority is not None
    }
    nodes = {member.name: formation.described(member) for member in desired.members}
    return Shape(desired.cluster, nodes, priorities, desired.totem, desired.witness)


def at_best(report: Seen, live: Shape, wanted: Shape) -> Seen:
    """How the members will do once every described one works: a run brings up, or waits for, those that do not answer yet."""
    back = live.nodes.keys() & wanted.nodes.keys() - report.lost
    return replace(report, voting=report.voting | back)


def seen(report: Membership, reports: Mapping[str, Membership], lost: Iterable[str]) -> Seen:
    """How the members do.

    Args:
        report: the newest one.
        reports: of all nodes that answer, by name.
        lost: nodes whose machine is gone. A stand-alone node that a quorate cluster lists without its vote was installed anew; one
            that a cluster lists which is not quorate without it may be about to join.
    """
    names = {node.id: node.name for node in report.nodes}
    voting = frozenset(names[number] for number in report.voters if number in names)
    alone = {name for name, other in reports.items() if other.state == "absent" and report.listed(name)}
    anew = alone if report.quorate else set[str]()
    broken = {
        (min(other.node, names[link.node_id]), max(other.node, names[link.node_id]), link.link)
        for other in reports.values()
        for link in other.links
        if not link.connected and link.node_id in names
    }
    gone = frozenset(name for name in {*anew, *lost} if report.listed(name)) - voting
    return Seen(voting, gone, frozenset(broken), witness=bool(report.quorum and report.quorum.device))
