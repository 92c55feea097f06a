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
    "verify-libvirt": "onnode.host.verify_libvirt",
    "repository": "onnode.system.repository",
    "kvm-nested": "onnode.host.kvm_nested",
    "dhcp": "onnode.host.dhcp",
    "nfs-export": "onnode.host.nfs_export",
    "libvirt-pool": "onnode.host.libvirt_pool",
    "libvirt-pool --remove": "onnode.host.libvirt_pool_remove",
    "libvirt-network": "onnode.host.libvirt_network",
    "libvirt-network --remove": "onnode.host.libvirt_network_remove",
    "installer-image": "onnode.host.installer_image",
    "installer-image --remove": "onnode.host.installer_image_remove",
    "libvirt-domain": "onnode.host.libvirt_domain",
    "libvirt-domain --remove": "onnode.host.libvirt_domain_remove",
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
    "release-member": "onnode.cluster.release_member",
    "evacuate-node": "onnode.cluster.evacuate_node",
    "keep-members": "onnode.cluster.keep_members",
    "node-gone": "onnode.cluster.node_gone",
    "remove-member": "onnode.cluster.remove_member",
    "reset-node": "onnode.cluster.reset_node",
    "start-services": "onnode.cluster.start_services",
    "expect-votes": "onnode.cluster.expect_votes",
    "corosync-files": "onnode.cluster.corosync_files",
    "restore-corosync": "onnode.cluster.restore_corosync",
    "corosync-state": "onnode.cluster.corosync_state",
    "edit-corosync": "onnode.cluster.edit_corosync",
    "restart-corosync": "onnode.cluster.restart_corosync",
    "witness": "onnode.cluster.witness",
    "witness --remove": "onnode.cluster.witness_remove",
    "qdevice": "onnode.cluster.qdevice",
    "qdevice --remove": "onnode.cluster.qdevice_remove",
    "api-user": "onnode.cluster.api_user",
    "storage": "onnode.cluster.storage",
    "storage --remove": "onnode.cluster.storage_remove",
    "running-guests": "onnode.cluster.running_guests",
    "maintenance": "onnode.cluster.maintenance",
    "move-guests": "onnode.cluster.move_guests",
    "upgrade-node": "onnode.node.upgrade_node",
    "reboot-node": "onnode.node.reboot_node",
    "look": "onnode.look",
    "cluster-health": "onnode.cluster.cluster_health",
    "diagnosis": "onnode.cluster.diagnosis",
    "inventory": "onnode.cluster.inventory",
}


def step(name: str) -> Step[Any, Any]:
    """The step of that name.

    Raises:
        KeyError: there is none.
    """
    return cast("Step[Any, Any]", importlib.import_module(STEPS[name]).STEP)
