"""Votes: enough of them for HA, and no design in which the loss of one node stops everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import NODES, WITNESS, of_nodes, with_qdevice
from .resources import DESIGN
from .rule import Rule, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rule import Subject

HA_VOTES_MIN = 3
PAIR = 2


def _few_votes_for_ha(design: Subject) -> Iterator[str]:
    votes = design.props["cluster"]["votes"]
    if design.props["guests"] and votes < HA_VOTES_MIN:
        yield f"cluster {design.props['cluster']['name']} has guests under HA and {number(votes)} votes"


HA_VOTES = Rule(
    id="ha-three-votes",
    level=EnforcementLevel.MANDATORY,
    demands="A cluster with guests under HA has at least three votes.",
    protects="With two votes the survivor of a failure has no majority and is fenced as well: HA makes things worse.",
    source="Proxmox VE HA manager, requirements",
    fix="Add a node to nested-pve-ha:nodes, or remove the guests.",
    judges={DESIGN: _few_votes_for_ha},
    bad=of_nodes(NODES[0], NODES[1], NODES[2] | {"votes": 0}, about="cluster"),
    good=of_nodes(*NODES, about="cluster"),
)


def _even(design: Subject) -> Iterator[str]:
    cluster = design.props["cluster"]
    if cluster["votes"] % 2 == 0:
        yield f"cluster {cluster['name']} has {number(cluster['votes'])} votes and no QDevice: half of them is no majority"


EVEN_VOTES = Rule(
    id="even-votes-without-qdevice",
    level=EnforcementLevel.ADVISORY,
    demands="A cluster has an odd number of votes.",
    protects="When the cluster is cut in halves, neither half has the quorum. Four votes survive no more failures than three.",
    source="Proxmox VE cluster manager, Corosync external vote support",
    fix="Add a node, leave one out, or describe a QDevice under qdevice in nested-pve-ha:cluster.",
    judges={DESIGN: _even},
    bad=of_nodes(NODES[0], NODES[1], NODES[2] | {"votes": 2}, about="cluster"),
    good=of_nodes(*NODES, about="cluster"),
)


def _decides_alone(design: Subject) -> Iterator[str]:
    """Two nodes with a vote each are what they are; with guests under HA that is too few, as another rule says."""
    nodes, votes = design.props["nodes"], design.props["cluster"]["votes"]
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
    demands="The quorum survives the loss of any one node. Two nodes without guests under HA are exempt.",
    protects="Otherwise the loss of that one node ends the quorum, and HA fences all others.",
    source="votequorum(5): a majority of the expected votes is needed",
    fix="Give every node in nested-pve-ha:nodes one vote.",
    judges={DESIGN: _decides_alone},
    bad=of_nodes(NODES[0] | {"votes": 2}, *NODES[1:]),
    good=of_nodes(*NODES),
)


def _shares_a_fate(design: Subject) -> Iterator[str]:
    cluster = design.props["cluster"]
    host = cluster.get("qdevice", {}).get("host")
    carried = [node["name"] for node in design.props["nodes"] if host is not None and node.get("host") == host]
    if carried:
        yield f"the QDevice of cluster {cluster['name']} is on {host}, which carries {', '.join(carried)}: they fail together"


INDEPENDENT_WITNESS = Rule(
    id="qdevice-independent",
    level=EnforcementLevel.MANDATORY,
    demands="The QDevice's server is no outer host that carries nodes of the cluster.",
    protects="When that host fails, its nodes' votes and the QDevice's are lost together: a node elsewhere has no majority.",
    source="Proxmox VE cluster manager, Corosync external vote support",
    fix="Name another Debian machine under qdevice.machine in nested-pve-ha:cluster.",
    judges={DESIGN: _shares_a_fate},
    bad=with_qdevice(4, host="virtual"),
    good=with_qdevice(4, machine=WITNESS),
)


def _idle(design: Subject) -> Iterator[str]:
    cluster, nodes = design.props["cluster"], design.props["nodes"]
    if cluster.get("qdevice") and len(nodes) % 2:
        yield f"cluster {cluster['name']} has {number(len(nodes))} nodes, so its QDevice is not set up"


EVEN_NODES_FOR_QDEVICE = Rule(
    id="qdevice-for-even-nodes",
    level=EnforcementLevel.ADVISORY,
    demands="A QDevice is described for an even number of nodes.",
    protects="With an odd number it would not let more nodes fail, and Proxmox VE sets up none: the witness stands idle.",
    source="F20",
    fix="Take qdevice out of nested-pve-ha:cluster, or add a node.",
    judges={DESIGN: _idle},
    bad=with_qdevice(3, machine=WITNESS),
    good=with_qdevice(4, machine=WITNESS),
)

RULES = (HA_VOTES, EVEN_VOTES, BALANCED_VOTES, INDEPENDENT_WITNESS, EVEN_NODES_FOR_QDEVICE)
