"""The corosync.conf that the stack file describes, as Proxmox VE would write it: for a cluster that has no whole one left. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.contract import Member

NAME = re.compile(r"^\s*name:\s*(\S+)\s*$", re.MULTILINE)
# What `pvecm create` writes (pve-cluster 9.1), besides what is described.
TOTEM = {"ip_version": "ipv4-6", "link_mode": "passive", "secauth": "on", "token_coefficient": "125", "version": "2"}


def write(cluster: str, members: Iterable[Member], totem: Mapping[str, str]) -> str:
    """Write it, under version 0.

    Args:
        cluster: its name.
        members: the nodes.
        totem: described settings of that section.
    """
    listed = sorted(members, key=lambda one: one.name)
    priorities = {link.number: link.priority for member in listed for link in member.links}
    nodes = "".join(
        f"  node {{\n    name: {one.name}\n    nodeid: {one.node_id}\n    quorum_votes: {one.votes}\n"
        + "".join(f"    ring{link.number}_addr: {link.address}\n" for link in one.links)
        + "  }\n"
        for one in listed
    )
    interfaces = "".join(
        "  interface {\n"
        + (f"    knet_link_priority: {priority}\n" if priority is not None else "")
        + f"    linknumber: {number}\n  }}\n"
        for number, priority in sorted(priorities.items())
    )
    settings = {"cluster_name": cluster, "config_version": "0", **TOTEM, **totem}
    keys = "".join(f"  {key}: {value}\n" for key, value in sorted(settings.items()))
    return (
        "logging {\n  debug: off\n  to_syslog: yes\n}\n\n"
        f"nodelist {{\n{nodes}}}\n\n"
        "quorum {\n  provider: corosync_votequorum\n}\n\n"
        f"totem {{\n{keys}{interfaces}}}\n"
    )


def same_nodes(text: str, members: Iterable[Member]) -> bool:
    """Whether a broken file still names the described nodes and no others: else somebody was about to change the list."""
    return set(NAME.findall(text)) == {member.name for member in members}
