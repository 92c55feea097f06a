"""`pvecm create`: turn a stand-alone node into a cluster of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.cluster import addresses, configuration, locks, node_files, ssh
from pvelab.cluster.processes import run
from pvelab.corosync.conf import CorosyncConf, Link, Node
from pvelab.errors import die
from pvelab.machine import node_name
from pvelab.paths import path, pve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.tasks import Log


def require_new() -> None:
    """Refuse before any work where a cluster is already configured.

    Raises:
        PveError: it is.
    """
    if configuration.exists():
        raise die(f"cluster config '{pve(configuration.CONF)}' already exists")


def create(parameters: Mapping[str, Any], log: Log) -> None:
    """Write key and configuration, then restart corosync and pmxcfs; whether they come up is not waited for.

    Args:
        parameters: clustername, and optionally link0 to link7, nodeid, votes.
        log: where the progress goes.
    """
    with locks.local():
        ssh.allow_root_login()
        ssh.make_root_key()
        ssh.share_authorized_keys(log)
        if not path(configuration.AUTHKEY).exists():
            run(["corosync-keygen", "-lk", str(path(configuration.AUTHKEY))], log=log)
        node, address = node_name(), addresses.own()
        conf = _conf(node, address, parameters)
        log("Writing corosync config to /etc/pve/corosync.conf")
        configuration.write(conf)
        ssh.merge_keys()
        node_files.make_node_files(node, address)
        ssh.merge_known_hosts(node, address)
        log("Restart corosync and cluster filesystem")
        run(["systemctl", "restart", "corosync", "pve-cluster"])


def _conf(node: str, address: str, parameters: Mapping[str, Any]) -> CorosyncConf:
    links = configuration.links(parameters) or {0: Link(address)}
    entry = Node(
        name=node,
        nodeid=int(parameters.get("nodeid") or 1),
        votes=int(parameters.get("votes") or 1),
        links={number: link.address for number, link in links.items()},
    )
    return CorosyncConf.create(str(parameters["clustername"]), entry, links)
