"""An outer host that runs libvirt: all that it makes is made by steps, which look themselves whose a thing is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.marks import image_name
from components import steps, verified_host
from components.recorded import DOMAIN
from config import topology
from onnode.contract.libvirt import DomainCard, InstallerImage, LibvirtDomain, LibvirtNetwork, LibvirtPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from components.site import Site
    from config.model import LibvirtHost, NestedNode

# What its steps call; as Debian and Ubuntu name it. The answer to the installer is put into its image by xorriso.
PACKAGES = ("ca-certificates", "dnsmasq-base", "libvirt-clients", "libvirt-daemon-system", "qemu-system-x86", "xorriso")


class Libvirt:
    """Libvirt on one outer host.

    Attributes:
        usable: the pool of the stack's images and disks.
    """

    def __init__(
        self,
        logical: str,
        site: Site,
        host: LibvirtHost,
        parent: pulumi.Resource,
        ready: Sequence[pulumi.Resource],
    ) -> None:
        self._logical, self._site, self._host = logical, site, host
        self._parent, self._ready = parent, ready
        self._directory = topology.image_directory(host, site.stack)
        pool = LibvirtPool(site.stack, self._directory)
        self.usable = [self._step("pool", "libvirt-pool", pool, *ready)]

    def _step(self, name: str, step: str, wanted: object, *after: pulumi.Resource) -> pulumi.Resource:
        return steps.on_machine(
            f"{self._logical}-{name}",
            self._site.machine(self._host),
            step,
            wanted,
            steps.after(self._parent, *after),
            site=self._site,
            delete=f"{step} --remove",
        )

    def bridges(self) -> list[pulumi.Resource]:
        """Each as a network of libvirt."""
        mtus = {bridge.name: bridge.mtu for bridge in self._host.bridges}
        return [
            self._step(
                bridge.name,
                "libvirt-network",
                LibvirtNetwork(self._site.stack, bridge, mtus[bridge.name]),
                *self._ready,
            )
            for bridge in verified_host.bridges(self._host)
        ]

    def installer(self) -> tuple[str, list[pulumi.Resource]]:
        """Downloaded by the host, unless it is there already."""
        source = self._host.installer
        if source.path:
            return source.path, []
        url, checksum = source.url or "", (source.checksum or "").removeprefix("sha256:")
        path = f"{self._directory}/{image_name(self._site.stack, self._host.name, url)}"
        wanted = InstallerImage(self._site.stack, url, checksum, path)
        return path, [self._step("installer", "installer-image", wanted, *self.usable)]

    def vm(
        self, logical: str, node: NestedNode, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
    ) -> tuple[pulumi.Resource, list[pulumi.Resource]]:
        """A domain, which is the stack's by its metadata."""
        cards = [DomainCard(nic.bridge, nic.mac, nic.mtu) for nic in topology.nics(self._site.config, node)]
        wanted = LibvirtDomain(
            self._site.stack,
            self._host.name,
            node.vmid,
            node.name,
            node.cores,
            node.memory_mib,
            node.disk_gib,
            node.cpu_type,
            self._directory,
            cards,
        )
        made = steps.on_machine(
            logical,
            self._site.machine(self._host),
            DOMAIN,
            wanted,
            steps.after(parent, *after, protect=self._site.config.protect_nodes),
            site=self._site,
            delete=f"{DOMAIN} --remove",
        )
        return made, []
