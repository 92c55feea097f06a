"""HostPrep: an outer host that can carry nested nodes.

It does not install Proxmox VE on the host, and leaves alone what it finds: foreign VMs, bridges and subnets are
refused. What it changes outside the provider's reach is written down on the host first, and `pulumi destroy` puts it
back (step `journal`, the only one with a deletion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from components import steps, verified_host
from components.outer_host import libvirt
from components.outer_host.libvirt import Libvirt
from components.outer_host.proxmox_ve import ProxmoxVe
from components.recorded import HOST
from config.model import ProxmoxVeHost
from onnode.contract.host import Dhcp, Journal, KvmNested, NfsExport
from onnode.contract.node import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.outer_host.hypervisor import Hypervisor
    from components.site import Site
    from config.model import OuterHost


@dataclass(frozen=True)
class HostPrepArgs:
    """What a host is prepared for.

    Attributes:
        site: the stack.
        host: the outer host.
        after: what must be done before the host is touched.
    """

    site: Site
    host: OuterHost
    after: Sequence[pulumi.Resource]


class HostPrep(pulumi.ComponentResource):
    """An outer host, prepared.

    Attributes:
        hypervisor: makes the VMs of nested nodes.
        iso_path: where the installer image is on the host.
        vm_ready: what VMs of nested nodes wait for.
        install_ready: what the installation of nested nodes waits for, in addition.
    """

    def __init__(self, name: str, args: HostPrepArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        host, site = args.host, args.site
        props = {"host": host.name, "nested": host.nested, "bridges": [bridge.name for bridge in host.bridges]}
        super().__init__(HOST, name, props, opts)
        self._logical, self._site, self._host = name, site, host
        self._machine = site.machine(host)

        package = steps.copy_package(f"{name}-package", self._machine, site, steps.after(self, *args.after))
        journal = self._step(
            "journal",
            Journal(site.stack, [bridge.name for bridge in verified_host.bridges(host)]),
            package,
            delete="journal --restore",
        )
        verified = self._step(*verified_host.question(site, host), journal)
        repository = self._step("repository", self._repository(), verified)
        kvm = self._step("kvm-nested", KvmNested(host.nested), verified)
        self.hypervisor = self._hypervisor(verified, repository)
        bridges = self.hypervisor.bridges()
        services = self._services(repository, *bridges)
        self.iso_path, iso = self.hypervisor.installer()
        self.vm_ready: list[pulumi.Resource] = [kvm, *self.hypervisor.usable, *bridges]
        self.install_ready: list[pulumi.Resource] = [repository, *services, *iso]
        api = {"endpoint": host.endpoint} if isinstance(host, ProxmoxVeHost) else {}
        self.register_outputs({**props, **api, "isoPath": self.iso_path})

    def _hypervisor(self, verified: pulumi.Resource, repository: pulumi.Resource) -> Hypervisor:
        if isinstance(self._host, ProxmoxVeHost):
            return ProxmoxVe(self._logical, self._site, self._host, self, verified)
        return Libvirt(self._logical, self._site, self._host, self, [verified, repository])

    def _step(
        self, step: str, wanted: object, *dependencies: pulumi.Resource, delete: str | None = None
    ) -> pulumi.Resource:
        name = f"{self._logical}-{step}"
        opts = steps.after(self, *dependencies)
        return steps.on_machine(name, self._machine, step, wanted, opts, site=self._site, delete=delete)

    def _repository(self) -> Repository:
        """Libvirt and all that it needs are Debian's own."""
        host, uri = self._host, self._site.config.maintenance.uri
        more = [*host.packages, *(["nfs-kernel-server"] if host.nfs_export else [])]
        if not isinstance(host, ProxmoxVeHost):
            return Repository("keep", uri, sorted({*libvirt.PACKAGES, *more}))
        packages = ["proxmox-auto-install-assistant", *more]
        if any(bridge.dhcp_start for bridge in verified_host.bridges(host)):
            packages.append("dnsmasq-base")
        return Repository(host.repository, uri, sorted(set(packages)))

    def _services(self, repository: pulumi.Resource, *bridges: pulumi.Resource) -> list[pulumi.Resource]:
        stack, export = self._site.stack, self._host.nfs_export
        made = []
        ranges = [bridge for bridge in verified_host.bridges(self._host) if bridge.dhcp_start]
        if ranges and isinstance(self._host, ProxmoxVeHost):  # libvirt's networks have DHCP of their own
            made.append(self._step("dhcp", Dhcp(stack, ranges), repository, *bridges))
        if export:
            wanted = NfsExport(stack, export.path, str(export.network))
            made.append(self._step("nfs-export", wanted, repository, *bridges))
        return made
