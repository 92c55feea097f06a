"""HostPrep: an outer host that can carry nested nodes.

It does not install Proxmox VE on the host, and leaves alone what it finds: foreign VMs, bridges and subnets are
refused. What it changes outside the provider's reach is written down on the host first, and `pulumi destroy` puts it
back (step `journal`, the only one with a deletion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_proxmoxve as proxmoxve

from cluster.contract import CheckCertificate
from cluster.marks import image_name
from components import guarded_network, left_alone, steps
from components.recorded import HOST
from config.model import NestedNode
from onnode import contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.site import Site
    from config.model import Bridge, OuterHost


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
        provider: the host's API.
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
        self._managed = [bridge for bridge in host.bridges if bridge.managed]

        package = steps.copy_package(f"{name}-package", self._machine, site, steps.after(self, *args.after))
        journal = self._step(
            "journal",
            contract.Journal(site.stack, [bridge.name for bridge in self._managed]),
            package,
            delete="journal --restore",
        )
        verified = self._step("verify-host", self._verify_host(), journal)
        repository = self._step("repository", self._repository(), verified)
        kvm = self._step("kvm-nested", contract.KvmNested(host.nested), verified)
        self.provider, trusted = self._api(verified)
        bridges = self._bridges(verified, *trusted)
        services = self._services(repository, *bridges)
        self.iso_path, iso = self._installer(verified, *trusted)
        self.vm_ready: list[pulumi.Resource] = [kvm, *trusted, *bridges]
        self.install_ready: list[pulumi.Resource] = [repository, *services, *iso]
        self.register_outputs({**props, "endpoint": host.endpoint, "isoPath": self.iso_path})

    def _step(
        self, step: str, wanted: object, *dependencies: pulumi.Resource, delete: str | None = None
    ) -> pulumi.Resource:
        name = f"{self._logical}-{step}"
        opts = steps.after(self, *dependencies)
        return steps.on_machine(name, self._machine, step, wanted, opts, site=self._site, delete=delete)

    def _verify_host(self) -> contract.VerifyHost:
        config = self._site.config
        nodes = [node for node in config.nodes if isinstance(node, NestedNode) and node.host == self._host.name]
        return contract.VerifyHost(
            stack=self._site.stack,
            pve_major=config.pve_major,
            vmids=[node.vmid for node in nodes],
            bridges=self._wanted_bridges(),
            memory_mib=sum(node.memory_mib for node in nodes),
            iso_path=self._host.installer.path,
            ports=[contract.BridgePorts(bridge.name, list(bridge.ports)) for bridge in self._managed if bridge.ports],
        )

    def _wanted_bridges(self) -> list[contract.Bridge]:
        return [
            contract.Bridge(
                bridge.name,
                str(bridge.address),
                dhcp_start=str(bridge.dhcp.start) if bridge.dhcp else None,
                dhcp_end=str(bridge.dhcp.end) if bridge.dhcp else None,
            )
            for bridge in self._managed
        ]

    def _repository(self) -> contract.Repository:
        packages = ["proxmox-auto-install-assistant"]
        if any(bridge.dhcp for bridge in self._managed):
            packages.append("dnsmasq-base")
        if self._host.nfs_export:
            packages.append("nfs-kernel-server")
        return contract.Repository(self._host.repository, self._site.config.maintenance.uri, sorted(packages))

    def _api(self, verified: pulumi.Resource) -> tuple[proxmoxve.Provider, list[pulumi.Resource]]:
        host, site = self._host, self._site
        trusted: list[pulumi.Resource] = []
        if host.tls == "pinned":
            # The provider can pin nothing: this makes the engine trust what the host itself holds, read over SSH.
            wanted = CheckCertificate([self._machine], host.endpoint)
            name = f"{self._logical}-certificate"
            opts = steps.after(self, verified)
            trusted = [steps.at_administrator(name, "check-certificate", wanted, site.ssh_secrets, opts)]
        provider = proxmoxve.Provider(
            f"{self._logical}-api",
            endpoint=host.endpoint,
            username=host.user,
            password=pulumi.Output.secret(site.credentials.outer_hosts[host.name].password.get_secret_value()),
            opts=steps.after(self, *trusted),
        )
        return provider, trusted

    def _bridges(self, *dependencies: pulumi.Resource) -> list[pulumi.Resource]:
        """One after another: each change reloads the host's whole network (bpg#2509)."""
        made: list[pulumi.Resource] = []
        hooks = guarded_network.hooks(self._logical, self._site, self._host)
        for bridge in self._managed:
            made += self._bridge(bridge, hooks, *dependencies, *made[-1:])
        return made

    def _bridge(
        self, bridge: Bridge, hooks: guarded_network.Hooks, *dependencies: pulumi.Resource
    ) -> list[pulumi.Resource]:
        """The bridge, and what removes it; who uses it waits for both."""
        logical = f"{self._logical}-{bridge.name}"
        opts = steps.after(self, *dependencies)
        removal = guarded_network.removal(logical, self._site, self._host, bridge.name, opts)
        made = proxmoxve.network.linux.Bridge(
            logical,
            node_name=self._host.name,
            name=bridge.name,
            address=str(bridge.address),
            ports=list(bridge.ports) or None,
            autostart=True,
            mtu=bridge.mtu if bridge.mtu != 1500 else None,  # noqa: PLR2004 - the kernel's default
            comment=self._site.stack_tag,
            opts=steps.after(
                self,
                *dependencies,
                removal,
                provider=self.provider,
                deleted_with=removal,
                hooks=hooks.binding(),
                ignore_changes=left_alone.BRIDGE,
            ),
        )
        return [removal, made]

    def _services(self, repository: pulumi.Resource, *bridges: pulumi.Resource) -> list[pulumi.Resource]:
        stack, export = self._site.stack, self._host.nfs_export
        made = []
        if ranges := [bridge for bridge in self._wanted_bridges() if bridge.dhcp_start]:
            made.append(self._step("dhcp", contract.Dhcp(stack, ranges), repository, *bridges))
        if export:
            wanted = contract.NfsExport(stack, export.path, str(export.network))
            made.append(self._step("nfs-export", wanted, repository, *bridges))
        return made

    def _installer(self, *dependencies: pulumi.Resource) -> tuple[str, list[pulumi.Resource]]:
        """The installer image's path on the host, and what puts it there."""
        source = self._host.installer
        if source.path:
            return source.path, []
        file_name = image_name(self._site.stack, self._host.name, source.url or "")
        iso = proxmoxve.download.File(
            f"{self._logical}-installer",
            node_name=self._host.name,
            datastore_id=self._host.iso_storage,
            content_type="iso",
            url=source.url,
            file_name=file_name,
            checksum=(source.checksum or "").removeprefix("sha256:"),
            checksum_algorithm="sha256",
            overwrite=False,
            overwrite_unmanaged=True,
            # Another image of the same name is not downloaded over this one, and would go with it.
            opts=steps.after(self, *dependencies, provider=self.provider, delete_before_replace=True),
        )
        return f"{self._host.iso_directory}/{file_name}", [iso]
