"""A corosync.conf, as pvecm writes it: what is in it matters to the tests, and not how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onnode.cluster.corosync import ConfNode


def corosync_conf(
    cluster: str,
    version: int,
    nodes: Iterable[ConfNode],
    priorities: Mapping[int, int | None] | None = None,
    **totem: str,
) -> str:
    """The text of a file with these nodes; `priorities` are those of the links."""
    listed = "".join(
        f"  node {{\n    name: {node.name}\n    nodeid: {node.id}\n    quorum_votes: {node.votes}\n"
        + "".join(f"    ring{number}_addr: {address}\n" for number, address in node.links.items())
        + "  }\n"
        for node in nodes
    )
    further = "".join(f"  {key}: {value}\n" for key, value in totem.items())
    interfaces = "".join(
        f"  interface {{\n    knet_link_priority: {priority}\n    linknumber: {number}\n  }}\n"
        for number, priority in (priorities or {}).items()
    )
    return (
        f"nodelist {{\n{listed}}}\n"
        f"totem {{\n  cluster_name: {cluster}\n  config_version: {version}\n{further}{interfaces}}}\n"
    )
