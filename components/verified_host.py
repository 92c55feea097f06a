"""What an outer host is verified for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.model import NestedNode
from onnode.contract.host import Bridge, BridgePorts, VerifyHost

if TYPE_CHECKING:
    from components.site import Site
    from config.model import OuterHost


def nodes(site: Site, host: OuterHost) -> list[NestedNode]:
    """The nested nodes of an outer host."""
    return [node for node in site.config.nodes if isinstance(node, NestedNode) and node.host == host.name]


def bridges(host: OuterHost) -> list[Bridge]:
    """The bridges that the program makes on it."""
    return [
        Bridge(
            bridge.name,
            str(bridge.address),
            dhcp_start=str(bridge.dhcp.start) if bridge.dhcp else None,
            dhcp_end=str(bridge.dhcp.end) if bridge.dhcp else None,
        )
        for bridge in host.bridges
        if bridge.managed
    ]


def wanted(site: Site, host: OuterHost) -> VerifyHost:
    """What the step `verify-host` is asked."""
    of_it = nodes(site, host)
    return VerifyHost(
        stack=site.stack,
        pve_major=site.config.pve_major,
        vmids=[node.vmid for node in of_it],
        bridges=bridges(host),
        memory_mib=sum(node.memory_mib for node in of_it),
        iso_path=host.installer.path,
        ports=[
            BridgePorts(bridge.name, list(bridge.ports)) for bridge in host.bridges if bridge.managed and bridge.ports
        ],
    )
