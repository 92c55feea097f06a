"""What was found of a live cluster, and whether it is well enough to be described. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import AdminError
from onnode.cluster import corosync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnode.cluster.corosync import Conf
    from onnode.contract.inventory import Inventory


@dataclass(frozen=True)
class Found:
    """A live cluster.

    Attributes:
        endpoint: where its API was found.
        first: the name of the node that was asked first.
        members: what each member says, by name.
        host_keys: the key by which each was reached, type and key.
    """

    endpoint: str
    first: str
    members: Mapping[str, Inventory]
    host_keys: Mapping[str, str]


def whole(first: Inventory) -> Conf:
    """The configuration of a cluster of which every member votes and can be asked, as one of them has it.

    Args:
        first: what that member says.

    Raises:
        AdminError: adopt-no-cluster, adopt-no-quorum, adopt-node-missing.
    """
    conf = first.conf
    if conf is None:
        raise AdminError(
            "adopt-no-cluster",
            f"{first.node} is in no cluster, so there is none to describe",
            observed=f"no corosync.conf in /etc/pve of {first.node}",
            expected="a member of a cluster",
        )
    votes = corosync.votes(conf.nodes, first.quorum)
    if first.quorum is None or not first.quorum.quorate:
        raise AdminError(
            "adopt-no-quorum",
            f"cluster {conf.cluster} is not quorate, so what {first.node} says of it may be outdated",
            observed=votes,
            expected="a quorate cluster",
        )
    silent = {node.name for node in corosync.silent(conf.nodes, first.quorum)}
    missing = [node.name for node in conf.nodes if node.name in silent or node.name not in first.addresses]
    if missing:
        raise AdminError(
            "adopt-node-missing",
            f"members of cluster {conf.cluster} are off or cut off, so what they are is not known: {', '.join(missing)}",
            observed=votes,
            expected="every member votes, and its pmxcfs is online",
        )
    unknown = [node.name for node in conf.nodes if node.name not in (*first.host_keys, first.node)]
    if unknown:
        raise AdminError(
            "adopt-key-missing",
            f"{first.node} does not have the SSH host keys of: {', '.join(unknown)}",
            observed=f"no key of theirs in /etc/pve/nodes/NAME/ssh_known_hosts or /etc/pve/priv/known_hosts of {first.node}",
            expected="the host key of every member",
        )
    return conf
