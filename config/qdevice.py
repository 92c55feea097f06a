"""What a QDevice must be to give a vote of its own: a machine outside of the cluster, and votes that its algorithm takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config import topology
from config.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config.model import Config


def server(config: Config) -> Iterator[Problem]:
    """One machine, which is described, and no member."""
    qdevice = config.cluster.qdevice
    if qdevice is None:
        return
    if (qdevice.host is None) == (qdevice.machine is None):
        yield Problem("cluster.qdevice", "give exactly one of host and machine", "remove one, or add host")
    members = {node.name for node in config.nodes}
    hosts = [host.name for host in config.outer_hosts]
    if qdevice.host in members:
        message = f"{qdevice.host} is a member: its vote would go with it"
        yield Problem("cluster.qdevice.host", message, "use a machine outside of the cluster")
    elif qdevice.host is not None and qdevice.host not in hosts:
        fix = (
            f"use one of {topology.some(hosts)}, or describe it under machine" if hosts else "describe it under machine"
        )
        yield Problem("cluster.qdevice.host", f"there is no outer host {qdevice.host}", fix)


def votes(config: Config) -> Iterator[Problem]:
    """Ffsplit counts nodes, and knows no others than those with one vote (corosync-qdevice(8))."""
    qdevice = config.cluster.qdevice
    if qdevice is None or qdevice.algorithm != "ffsplit":
        return
    for n, node in enumerate(config.nodes):
        if node.votes != 1:
            message = f"{node.name} has {node.votes} votes, and a QDevice with ffsplit wants one for each node"
            yield Problem(f"nodes[{n}].votes", message, "set it to 1, or cluster.qdevice.algorithm to lms")


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (server, votes)
