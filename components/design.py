"""Design: the whole plan as plain properties, registered before anything else.

Policies judge these properties before the first action, since everything depends on this component. It owns one step
as well: the refusal to change what a live cluster cannot change, which must come before any node is touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pulumi

from admin.desired import Identity
from components import steps
from components.config import topology
from components.config.model import NestedNode

if TYPE_CHECKING:
    from components.config import Config
    from components.site import Site

TYPE = "nested-pve-ha:index:Design"
LAB = "lab"  # property: in which lab the stack was made
LAB_VARIABLE = "NESTED_PVE_LAB_INSTANCE"


def lab_instance() -> str | None:
    """The lab that this runs in; None outside of one."""
    return os.environ.get(LAB_VARIABLE)


def facts(config: Config) -> dict[str, Any]:
    """Everything that policies may judge, known at preview; keys as in the stack file."""
    return {
        "pveMajor": config.pve_major,
        "outerHosts": [
            {"name": host.name, "nested": host.nested, "bridges": [bridge.name for bridge in host.bridges]}
            for host in config.outer_hosts
        ],
        "nodes": [_node(node) for node in config.nodes],
        "cluster": cluster_facts(config),
        "guests": [
            {"name": guest.name, "kind": guest.kind, "vmid": guest.vmid, "storage": guest.storage, "node": guest.node}
            for guest in config.guests
        ],
        "protectNodes": config.protect_nodes,
    }


def _node(node: Any) -> dict[str, Any]:  # noqa: ANN401 - either kind of node
    known = {"name": node.name, "kind": node.kind, "nodeId": node.node_id, "votes": node.votes}
    if isinstance(node, NestedNode):
        known |= {"host": node.host, "vmid": node.vmid, "cpuType": node.cpu_type}
    return known


def cluster_facts(config: Config) -> dict[str, Any]:
    """The cluster's share; the CorosyncCluster component carries the same."""
    return {
        "name": config.cluster.name,
        "seed": config.cluster.seed,
        "votes": sum(node.votes for node in config.nodes),
        "links": [
            {
                "number": number,
                "subnet": str(link.subnet),
                "priority": link.priority,
                "bridges": topology.link_bridges(config, number),
                "addresses": {node.name: str(topology.link_addresses(node)[number]) for node in config.nodes},
            }
            for number, link in enumerate(config.cluster.links)
        ],
    }


class Design(pulumi.ComponentResource):
    """The plan of one stack.

    Attributes:
        identity: the step after which nodes may be touched.
    """

    def __init__(self, name: str, site: Site, opts: pulumi.ResourceOptions | None = None) -> None:
        lab = lab_instance()
        super().__init__(TYPE, name, facts(site.config) | ({LAB: lab} if lab else {}), opts)
        cluster = site.config.cluster
        self.identity = steps.at_administrator(
            f"{name}-identity",
            "identity",
            Identity(cluster.name, cluster.seed, site.members),
            site.ssh_secrets,
            steps.after(self),
            remembers=True,
        )
        self.register_outputs(facts(site.config))
