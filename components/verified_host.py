"""What an outer host is verified for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config import topology
from config.model import NestedNode, ProxmoxVeHost
from onnode.contract.host import Bridge, BridgePorts, VerifyHost
from onnode.contract.libvirt import VerifyLibvirt

if TYPE_CHECKING:
    from components.site import Site
    from config.model import LibvirtHost, OuterHost

INSTALLED_GIB = 4  # what Proxmox VE 9 takes on a new disk, roughly


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


def question(site: Site, host: OuterHost) -> tuple[str, VerifyHost | VerifyLibvirt]:
    """The step that verifies a host, and what it is asked."""
    if isinstance(host, ProxmoxVeHost):
        return "verify-host", _of_proxmox_ve(site, host)
    return "verify-libvirt", _of_libvirt(site, host)


def _of_proxmox_ve(site: Site, host: ProxmoxVeHost) -> VerifyHost:
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


def _of_libvirt(site: Site, host: LibvirtHost) -> VerifyLibvirt:
    of_it = nodes(site, host)
    return VerifyLibvirt(
        stack=site.stack,
        vms={node.vmid: node.name for node in of_it},
        bridges=bridges(host),
        existing_bridges=[host.management_bridge, *(bridge.name for bridge in host.bridges if not bridge.managed)],
        memory_mib=sum(node.memory_mib for node in of_it),
        disk_gib=sum(min(node.disk_gib, INSTALLED_GIB) for node in of_it),
        directory=topology.image_directory(host, site.stack),
        iso_path=host.installer.path,
    )
