"""Each step by its name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from onnode.step import Step

# Each step, and its module: only the one that runs is loaded, for a machine runs a dozen of them in a row.
STEPS = {
    "journal": "onnode.host.journal",
    "journal --restore": "onnode.host.journal_restore",
    "verify-host": "onnode.host.verify_host",
    "repository": "onnode.system.repository",
    "kvm-nested": "onnode.host.kvm_nested",
    "dhcp": "onnode.host.dhcp",
    "nfs-export": "onnode.host.nfs_export",
    "install-node": "onnode.host.install_node",
    "vm-power": "onnode.host.vm_power",
    "node-network": "onnode.node.node_network",
    "arm-network": "onnode.system.arm_network",
    "confirm-network": "onnode.system.confirm_network",
    "prepare-node": "onnode.node.prepare_node",
    "verify-node": "onnode.node.verify_node",
    "membership": "onnode.cluster.membership",
    "link-preflight": "onnode.cluster.link_preflight",
    "create-cluster": "onnode.cluster.create_cluster",
    "join-cluster": "onnode.cluster.join_cluster",
    "api-user": "onnode.cluster.api_user",
    "storage": "onnode.cluster.storage",
    "storage --remove": "onnode.cluster.storage_remove",
    "look": "onnode.look",
    "cluster-health": "onnode.cluster.cluster_health",
}


def step(name: str) -> Step[Any, Any]:
    """The step of that name.

    Raises:
        KeyError: there is none.
    """
    return cast("Step[Any, Any]", importlib.import_module(STEPS[name]).STEP)
