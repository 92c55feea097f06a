"""HaGuest: a guest that the HA manager keeps running.

A VM is a clone by the provider. Templates and containers are steps, since the provider can neither switch KVM off nor
find a container again that HA moved (decision 2). Where a guest runs is HA's business: its node and power state are
never changed back. On deletion a guest leaves the HA manager before it is destroyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_proxmoxve as proxmoxve

from cluster import contract
from components import devices, left_alone, ownership, steps
from components.cd_drive import EMPTY_DRIVE
from components.recorded import GUEST, GUEST_TEMPLATE
from config import topology
from config.model import ContainerGuest, VmGuest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.corosync_cluster import CorosyncCluster
    from components.site import Site
    from config.model import ContainerTemplate, Download, Template

RULES_SINCE = 9  # before that, HA groups say where a guest may run
# On a second try the provider treats "already exists" as its own work, and so adopts a VM that somebody else made meanwhile.
CLONE_RETRIES = 1


@dataclass(frozen=True)
class GuestTemplateArgs:
    """What a template is.

    Attributes:
        site: the stack.
        template: the template.
        after: what must be done before it is made.
    """

    site: Site
    template: Template
    after: Sequence[pulumi.Resource]


class GuestTemplate(pulumi.ComponentResource):
    """A VM template.

    Attributes:
        config: the template.
        made: the step after which it can be cloned.
    """

    def __init__(self, name: str, args: GuestTemplateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        site, template = args.site, args.template
        props = {"vmid": template.vmid, "kvm": template.kvm, "cpuType": template.cpu_type, "storage": template.storage}
        super().__init__(GUEST_TEMPLATE, name, props, opts)
        self.config = template
        wanted = contract.Template(
            members=site.machines,
            api=site.api,
            stack_tag=site.stack_tag,
            vmid=template.vmid,
            name=template.name,
            node=template.node,
            storage=template.storage,
            disk_gib=template.disk_gib,
            cores=template.cores,
            memory_mib=template.memory_mib,
            cpu_type=template.cpu_type,
            kvm=template.kvm,
            bridge=template.bridge,
            image=_image(site, template.image.url, template.image, template.storage) if template.image else None,
        )
        self.made = steps.at_administrator(
            f"{name}-template",
            "template",
            wanted,
            site.api_secrets,
            steps.after(self, *args.after, retain_on_delete=topology.keeps_guests(site.config)),
            removes=True,
            remembers=True,
        )
        self.register_outputs(props)


def _image(site: Site, url: str, source: Download | ContainerTemplate, storage: str) -> contract.Image:
    # A name of this stack's own: removing it with its guest can never hit somebody else's file.
    return contract.Image(url, f"{site.stack_tag}-{source.file_name}", source.checksum, storage)


@dataclass(frozen=True)
class HaGuestArgs:
    """What a guest is.

    Attributes:
        site: the stack.
        guest: the guest.
        cluster: where it runs.
        after: what must be done before anything is made in the cluster.
        templates: the templates by name.
        wait_for: guests that must be made before this one: bounds how many are made at the same time.
    """

    site: Site
    guest: VmGuest | ContainerGuest
    cluster: CorosyncCluster
    after: Sequence[pulumi.Resource]
    templates: Mapping[str, GuestTemplate]
    wait_for: Sequence[HaGuest]


class HaGuest(pulumi.ComponentResource):
    """A guest under HA.

    Attributes:
        made: the guest itself.
        ha_sid: its name in the HA manager, "vm:200".
    """

    def __init__(self, name: str, args: HaGuestArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        site, guest = args.site, args.guest
        self.ha_sid = topology.sid(guest)
        ha = {"state": guest.ha.state, "nodes": dict(guest.ha.nodes), "strict": guest.ha.strict}
        props = {"sid": self.ha_sid, "storage": guest.storage, "ha": ha}
        super().__init__(GUEST, name, props, opts)
        self._logical, self._site, self._cluster, self._guest = name, site, args.cluster, guest
        before = [*args.after, *(other.made for other in args.wait_for)]
        self.made: pulumi.Resource
        if isinstance(guest, VmGuest):
            self.made = self._clone(guest, args.templates[guest.template], before)
        else:
            self.made = self._container(guest, before)
        before_ha = [*self._disk(guest), *self._kept(guest)]
        ready = contract.HaReady(
            site.machines,
            site.api,
            self.ha_sid,
            self._timeout_s,
            {node.name: node.watchdog for node in site.nodes},
            site.stack_tag,
        )
        self._register(self._step("ha-ready", ready, self.made, *before_ha, removes=True))
        self.register_outputs({**props, "vmid": guest.vmid})

    @property
    def _timeout_s(self) -> int:
        return self._site.config.cluster.timeout_s

    def _options(self, *dependencies: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - as they are
        """Of what HA has of it, which goes when the guest is left out and stays by itself."""
        keep = topology.keeps_guests(self._site.config) and not self._guest.keep
        return steps.after(self, *dependencies, retain_on_delete=keep, **more)

    def _of_itself(self, *dependencies: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - as they are
        """Of the guest with its disks."""
        keep = topology.stays(self._site.config, self._guest)
        return steps.after(self, *dependencies, retain_on_delete=keep, **more)

    def _step(
        self, step: str, wanted: object, *dependencies: pulumi.Resource, removes: bool = False, remembers: bool = False
    ) -> pulumi.Resource:
        name, secrets, opts = f"{self._logical}-{step}", self._site.api_secrets, self._options(*dependencies)
        return steps.at_administrator(name, step, wanted, secrets, opts, removes=removes, remembers=remembers)

    def _disk(self, guest: VmGuest | ContainerGuest) -> list[pulumi.Resource]:
        """The described disk of a VM; a container's own step has it."""
        if not isinstance(guest, VmGuest) or guest.disk_gib is None:
            return []
        site = self._site
        wanted = contract.GuestDisk(site.machines, site.api, site.stack_tag, guest.vmid, guest.name, guest.disk_gib)
        return [self._step("guest-disk", wanted, self.made)]

    def _kept(self, guest: VmGuest | ContainerGuest) -> list[pulumi.Resource]:
        """What lets go of a guest that stays, once HA has: `ha-ready` depends on it."""
        if not guest.keep:
            return []
        site, name = self._site, f"{self._logical}-keep-guest"
        wanted = contract.KeptGuest(site.machines, site.api, site.stack_tag, guest.vmid, guest.name)
        return [steps.at_removal(name, "keep-guest", wanted, site.api_secrets, steps.after(self, self.made))]

    def _clone(self, guest: VmGuest, template: GuestTemplate, before: Sequence[pulumi.Resource]) -> pulumi.Resource:
        source, logical = template.config, f"{self._logical}-vm"
        wanted = ownership.of_guest(self._site, guest)
        stay = devices.stay(logical, self._site, wanted.machines, "the node that it is on", disks=False)
        opts = self._of_itself(
            template.made,
            self._disks_gone(guest, before),
            *before,
            provider=self._cluster.provider,
            hooks=ownership.before_changes(logical, self._site, wanted, stay),
            # HA decides where it runs and whether; a replaced or moved-back guest would be an outage.
            ignore_changes=left_alone.GUEST,
        )
        return proxmoxve.VmLegacy(
            logical,
            node_name=guest.node,
            vm_id=guest.vmid,
            name=guest.name,
            tags=self._site.tags,
            clone=proxmoxve.VmLegacyCloneArgs(
                vm_id=source.vmid, node_name=source.node, datastore_id=guest.storage, full=True, retries=CLONE_RETRIES
            ),
            # Named, because the provider moves a clone's disk to its default storage otherwise, where HA cannot follow.
            disks=[proxmoxve.VmLegacyDiskArgs(interface="scsi0", datastore_id=guest.storage, size=source.disk_gib)],
            cdrom=EMPTY_DRIVE,
            cpu=proxmoxve.VmLegacyCpuArgs(cores=guest.cores, type=source.cpu_type),
            memory=proxmoxve.VmLegacyMemoryArgs(dedicated=guest.memory_mib),
            network_devices=[proxmoxve.VmLegacyNetworkDeviceArgs(bridge=guest.bridge, model="virtio")],
            agent=proxmoxve.VmLegacyAgentArgs(
                enabled=True, wait_for_ip=proxmoxve.VmLegacyAgentWaitForIpArgs(disabled=True)
            ),
            on_boot=False,  # the HA manager starts it
            started=False,
            stop_on_destroy=True,
            reboot_after_update=False,  # a reboot by the provider would turn the HA state to stopped
            opts=opts,
        )

    def _disks_gone(self, guest: VmGuest, before: Sequence[pulumi.Resource]) -> pulumi.Resource:
        site, name = self._site, f"{self._logical}-disks-gone"
        wanted = contract.DisksGone(site.machines, site.api, guest.vmid, guest.node, guest.storage)
        opts = self._of_itself(*before)
        return steps.at_administrator(name, "disks-gone", wanted, site.api_secrets, opts, removes=True, remembers=True)

    def _container(self, guest: ContainerGuest, before: Sequence[pulumi.Resource]) -> pulumi.Resource:
        site, source = self._site, guest.template
        download = _image(site, source.url, source, source.storage) if source.url else None
        file_name = download.file_name if download else source.file_name
        wanted = contract.Container(
            members=site.machines,
            api=site.api,
            stack_tag=site.stack_tag,
            vmid=guest.vmid,
            name=guest.name,
            node=guest.node,
            storage=guest.storage,
            disk_gib=guest.disk_gib,
            cores=guest.cores,
            memory_mib=guest.memory_mib,
            swap_mib=guest.swap_mib,
            bridge=guest.bridge,
            address=str(guest.address),
            gateway=str(guest.gateway) if guest.gateway else None,
            template=download,
            template_volume=f"{source.storage}:vztmpl/{file_name}",
            ssh_public_keys=[site.credentials.public_key],
        )
        name, secrets = f"{self._logical}-container", site.api_secrets
        opts = self._of_itself(*before)
        return steps.at_administrator(name, "container", wanted, secrets, opts, removes=True, remembers=True)

    def _register(self, ready: pulumi.Resource) -> None:
        """Under HA, on allowed nodes; the group comes before the resource, the rule after it."""
        if self._site.config.pve_major >= RULES_SINCE:
            resource = self._resource(ready)
            last = self._rule(resource) if self._guest.ha.nodes else resource
        else:
            group = self._group(ready) if self._guest.ha.nodes else None
            last = self._resource(ready, group)
        ha = self._guest.ha
        wanted = contract.VerifyGuest(
            members=self._site.machines,
            api=self._site.api,
            sid=self.ha_sid,
            state=ha.state,
            nodes=topology.placement_nodes(self._guest),
            timeout_s=self._timeout_s,
            preferred=topology.preferred_nodes(self._guest),
            failback=ha.failback,
        )
        self._step("verify-guest", wanted, last, removes=True, remembers=True)

    def _resource(self, ready: pulumi.Resource, group: proxmoxve.Hagroup | None = None) -> proxmoxve.Haresource:
        ha = self._guest.ha
        return proxmoxve.Haresource(
            f"{self._logical}-ha",
            resource_id=self.ha_sid,
            state=ha.state,
            max_restart=ha.max_restart,
            max_relocate=ha.max_relocate,
            failback=ha.failback if self._site.config.pve_major >= RULES_SINCE else None,
            group=group.group if group is not None else None,
            comment=self._site.stack_tag,
            opts=self._options(ready, provider=self._cluster.provider),
        )

    def _rule(self, resource: proxmoxve.Haresource) -> proxmoxve.Harule:
        return proxmoxve.Harule(
            f"{self._logical}-ha-rule",
            rule=f"{self._guest.name}-placement",
            type="node-affinity",
            resources=[self.ha_sid],
            nodes=dict(self._guest.ha.nodes),
            strict=self._guest.ha.strict,
            comment=self._site.stack_tag,
            # It is named after the guest, and Proxmox VE takes no second one of its kind for a guest.
            opts=self._options(resource, provider=self._cluster.provider, delete_before_replace=True),
        )

    def _group(self, ready: pulumi.Resource) -> proxmoxve.Hagroup:
        return proxmoxve.Hagroup(
            f"{self._logical}-ha-group",
            group=f"{self._guest.name}-placement",
            nodes=dict(self._guest.ha.nodes),
            restricted=self._guest.ha.strict,
            no_failback=not self._guest.ha.failback,
            comment=self._site.stack_tag,
            opts=self._options(ready, provider=self._cluster.provider),
        )
