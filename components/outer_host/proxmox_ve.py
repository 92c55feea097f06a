"""An outer host that runs Proxmox VE: what it makes is the provider's, over the host's API.

The provider knows bridges and VMs by name and number only, and replaces a whole list where one entry differs. So hooks and guards
look whose a thing is right before it is changed or deleted (decision 7), and what users added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_proxmoxve as proxmoxve

from cluster.contract import CheckCertificate
from cluster.marks import image_name
from components import devices, left_alone, ownership, steps
from components.cd_drive import EMPTY_DRIVE
from components.outer_host import guarded_network
from config import topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.site import Site
    from config.model import Bridge, NestedNode, ProxmoxVeHost

DEFAULT_MTU = 1500
MTU_OF_BRIDGE = 1  # Proxmox's own code for "as the bridge has it"


class ProxmoxVe:
    """Proxmox VE on one outer host.

    Attributes:
        usable: the check of the API's certificate, where that is pinned.
    """

    def __init__(
        self, logical: str, site: Site, host: ProxmoxVeHost, parent: pulumi.Resource, verified: pulumi.Resource
    ) -> None:
        self._logical, self._site, self._host = logical, site, host
        self._parent, self._verified = parent, verified
        self.usable = [self._certificate()] if host.tls == "pinned" else []
        self._provider = proxmoxve.Provider(
            f"{logical}-api",
            endpoint=host.endpoint,
            username=host.user,
            password=pulumi.Output.secret(site.credentials.password_of(host.name)),
            opts=steps.after(parent, *self.usable),
        )

    def _certificate(self) -> pulumi.Resource:
        """The provider can pin nothing: this makes the engine trust what the host itself holds, read over SSH."""
        site = self._site
        wanted = CheckCertificate([site.machine(self._host)], self._host.endpoint)
        opts = steps.after(self._parent, self._verified)
        return steps.at_administrator(
            f"{self._logical}-certificate", "check-certificate", wanted, site.ssh_secrets, opts
        )

    def bridges(self) -> list[pulumi.Resource]:
        """One after another: each change reloads the host's whole network (bpg#2509)."""
        made: list[pulumi.Resource] = []
        hooks = guarded_network.hooks(self._logical, self._site, self._host)
        for bridge in self._host.bridges:
            if bridge.managed:
                made += self._bridge(bridge, hooks, self._verified, *self.usable, *made[-1:])
        return made

    def _bridge(
        self, bridge: Bridge, hooks: guarded_network.Hooks, *dependencies: pulumi.Resource
    ) -> list[pulumi.Resource]:
        """The bridge, and what removes it; who uses it waits for both."""
        logical = f"{self._logical}-{bridge.name}"
        opts = steps.after(self._parent, *dependencies)
        removal = guarded_network.removal(logical, self._site, self._host, bridge.name, opts)
        made = proxmoxve.network.linux.Bridge(
            logical,
            node_name=self._host.name,
            name=bridge.name,
            address=str(bridge.address),
            ports=list(bridge.ports) or None,
            autostart=True,
            mtu=bridge.mtu if bridge.mtu != DEFAULT_MTU else None,
            comment=self._site.stack_tag,
            opts=steps.after(
                self._parent,
                *dependencies,
                removal,
                provider=self._provider,
                deleted_with=removal,
                hooks=hooks.binding(),
                ignore_changes=left_alone.BRIDGE,
            ),
        )
        return [removal, made]

    def installer(self) -> tuple[str, list[pulumi.Resource]]:
        """Downloaded by the host, unless it is there already."""
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
            opts=steps.after(
                self._parent, self._verified, *self.usable, provider=self._provider, delete_before_replace=True
            ),
        )
        return f"{self._host.iso_directory}/{file_name}", [iso]

    def vm(
        self, logical: str, node: NestedNode, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
    ) -> tuple[pulumi.Resource, list[pulumi.Resource]]:
        """The VM, and what looks before its deletion whose it is."""
        host, wanted = self._host, ownership.of_node(self._site, self._host, node)
        stay = devices.stay(logical, self._site, wanted.machines, host.name, disks=True)
        opts = steps.after(
            parent,
            *after,
            provider=self._provider,
            protect=self._site.config.protect_nodes,
            hooks=ownership.before_changes(logical, self._site, wanted, stay),
            ignore_changes=left_alone.NODE,
        )
        made = proxmoxve.VmLegacy(
            logical,
            node_name=host.name,
            vm_id=node.vmid,
            name=node.name,
            tags=self._site.tags,
            on_boot=True,
            # The provider takes a VM that somebody made in this very moment for its own work: it must not start it.
            # The installation checks the owner, and starts it; it also starts a node that was powered off.
            started=False,
            cpu=proxmoxve.VmLegacyCpuArgs(cores=node.cores, type=node.cpu_type),
            memory=proxmoxve.VmLegacyMemoryArgs(dedicated=node.memory_mib, floating=0),
            scsi_hardware="virtio-scsi-single",
            disks=[proxmoxve.VmLegacyDiskArgs(interface="scsi0", datastore_id=host.disk_storage, size=node.disk_gib)],
            network_devices=[self._network_device(nic) for nic in topology.nics(self._site.config, node)],
            # The installation attaches a CD drive of its own, and takes it away again.
            cdrom=EMPTY_DRIVE,
            boot_orders=["scsi0"],
            operating_system=proxmoxve.VmLegacyOperatingSystemArgs(type="l26"),
            agent=proxmoxve.VmLegacyAgentArgs(
                enabled=False, wait_for_ip=proxmoxve.VmLegacyAgentWaitForIpArgs(disabled=True)
            ),
            stop_on_destroy=True,
            reboot_after_update=False,  # a member is never rebooted by a change of its VM
            opts=opts,
        )
        return made, [ownership.guard(logical, self._site, wanted, made, parent)]

    @staticmethod
    def _network_device(nic: topology.Nic) -> proxmoxve.VmLegacyNetworkDeviceArgs:
        # No firewall: guests inside send with MAC addresses of their own.
        return proxmoxve.VmLegacyNetworkDeviceArgs(
            bridge=nic.bridge,
            model="virtio",
            mac_address=nic.mac,
            firewall=False,
            mtu=MTU_OF_BRIDGE if nic.mtu != DEFAULT_MTU else None,
        )
