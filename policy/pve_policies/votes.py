"""Votes: enough of them for HA, and no design in which the loss of one node stops everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import CLUSTER, NODES, design, existing
from .resources import DESIGN
from .rule import Rule, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rule import Props, Subject

HA_VOTES_MIN = 3
PAIR = 2


def _votes(cluster: Props) -> float:
    """All of them; a QDevice has one where it is any use, with an even number of nodes."""
    votes: float = cluster["votes"]
    return votes + (1 if cluster.get("qdevice") else 0)


def _few_votes_for_ha(design: Subject) -> Iterator[str]:
    votes = _votes(design.props["cluster"])
    if design.props["guests"] and votes < HA_VOTES_MIN:
        yield f"cluster {design.props['cluster']['name']} has guests under HA and {number(votes)} votes"


HA_VOTES = Rule(
    id="ha-three-votes",
    level=EnforcementLevel.MANDATORY,
    demands="A cluster with guests under HA has at least three votes.",
    protects="With two votes the survivor of a failure has no majority and is fenced as well: HA makes things worse.",
    source="Proxmox VE HA manager, requirements",
    fix="Add a node to nested-pve-ha:nodes, or take the guests out.",
    judges={DESIGN: _few_votes_for_ha},
    bad=design(cluster=CLUSTER | {"votes": 2}),
    good=design(cluster=CLUSTER | {"votes": 3}),
)


def _even(design: Subject) -> Iterator[str]:
    cluster = design.props["cluster"]
    if int(cluster["votes"]) % 2 == 0 and not cluster.get("qdevice"):
        yield f"cluster {cluster['name']} has {number(cluster['votes'])} votes and no QDevice: half of them is no majority"


EVEN_VOTES = Rule(
    id="even-votes-without-qdevice",
    level=EnforcementLevel.ADVISORY,
    demands="A cluster with an even number of votes has a QDevice.",
    protects="When it is cut in halves, neither has the quorum; a fourth vote survives no more failures than three do.",
    source="Proxmox VE cluster manager, Corosync external vote support",
    fix="Add a node; while there is no cluster yet, one less will do, too.",
    judges={DESIGN: _even},
    bad=design(cluster=CLUSTER | {"votes": 4}),
    good=design(cluster=CLUSTER | {"votes": 3}),
)


def _qdevice_on_odd(design: Subject) -> Iterator[str]:
    cluster, count = design.props["cluster"], len(design.props["nodes"])
    if cluster.get("qdevice") and count % 2:
        yield f"cluster {cluster['name']} has {count} nodes and a QDevice"


QDEVICE_ON_ODD = Rule(
    id="qdevice-on-odd-nodes",
    level=EnforcementLevel.MANDATORY,
    demands="Only a cluster with an even number of nodes has a QDevice.",
    protects="With an odd number it gets as many votes as all nodes but one: when it fails, no node may. pvecm refuses it.",
    source="F20",
    fix="Leave the QDevice out.",
    judges={DESIGN: _qdevice_on_odd},
    bad=design(cluster=CLUSTER | {"qdevice": {"address": "192.168.0.50"}}),
    good=design(nodes=[*NODES, existing(4)], cluster=CLUSTER | {"votes": 4, "qdevice": {"address": "192.168.0.50"}}),
)


def _decides_alone(design: Subject) -> Iterator[str]:
    """Two nodes with a vote each are what they are; with guests under HA that is too few, as another rule says."""
    nodes, votes = design.props["nodes"], _votes(design.props["cluster"])
    pair = len(nodes) <= PAIR
    if pair and (not design.props["guests"] or votes < HA_VOTES_MIN):
        return
    for node in nodes:
        if (votes - node["votes"]) * 2 <= votes:
            more = ", and HA needs a third node" if pair else ""
            yield f"{node['name']} has {number(node['votes'])} of {number(votes)} votes: without it there is no quorum{more}"


BALANCED_VOTES = Rule(
    id="no-node-decides-alone",
    level=EnforcementLevel.MANDATORY,
    demands="The quorum survives the loss of any one node; only two nodes without guests under HA may do without.",
    protects="The loss of that one node would end the quorum, whatever the others do, and HA fences them.",
    source="votequorum(5): a majority of the expected votes is needed",
    fix="Give every node in nested-pve-ha:nodes one vote.",
    judges={DESIGN: _decides_alone},
    bad=design(nodes=[NODES[0] | {"votes": 2}, *NODES[1:]], cluster=CLUSTER | {"votes": 4}),
    good=design(nodes=NODES),
)

RULES = (HA_VOTES, EVEN_VOTES, QDEVICE_ON_ODD, BALANCED_VOTES)
