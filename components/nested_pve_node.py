"""NestedPveNode: one Proxmox VE node, ready to become a member.

A `nested` node is a VM that is made and installed here; an `existing` one is a machine that already runs Proxmox VE
and gets the same verification and repository steps. Upgrade and reboot happen only before it is a member. What lives
inside a VM goes with it, so nothing is undone there when the VM is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from cluster.contract import Claim, NodeNetworks
from components import answer_file, first_boot, steps
from components.recorded import NODE
from config import topology
from config.model import ExistingNode, NestedNode, ProxmoxVeHost
from onnode.contract.host import InstallNode
from onnode.contract.node import PrepareNode, Repository, VerifyNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.host_prep import HostPrep
    from components.site import Site
    from config.model import OuterHost


@dataclass(frozen=True)
class NestedPveNodeArgs:
    """What a node is to be.

    Attributes:
        site: the stack.
        node: the node.
        after: what must be done before the node is touched.
        host: its outer host with the preparation, for nested nodes.
    """

    site: Site
    node: NestedNode | ExistingNode
    after: Sequence[pulumi.Resource]
    host: tuple[OuterHost, HostPrep] | None = None


class NestedPveNode(pulumi.ComponentResource):
    """One node, prepared and verified.

    Attributes:
        vm: its VM; None for an existing machine.
        verified: the step after which it may become a member.
    """

    def __init__(self, name: str, args: NestedPveNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        node, site = args.node, args.site
        props = {"kind": node.kind, "address": str(node.address), "nodeId": node.node_id, "votes": node.votes}
        super().__init__(NODE, name, props, opts)
        self._logical, self._site = name, site
        self.vm: pulumi.Resource | None = None
        reachable: list[pulumi.Resource] = list(args.after)
        if isinstance(node, NestedNode) and args.host is not None:
            host, prepared = args.host
            after = [*args.after, *prepared.vm_ready]
            self.vm, guards = prepared.hypervisor.vm(f"{name}-vm", node, self, after)
            reachable = [self._install(node, host, prepared, self.vm, *guards)]
        elif isinstance(node, ExistingNode):
            reachable = [self._claim(node, args.after)]
        self.verified = self._prepare_and_verify(node, reachable)
        links = [str(address) for address in topology.link_addresses(node)]
        self.register_outputs({**props, "links": links, "url": f"https://{node.address}:8006"})

    def _install(
        self, node: NestedNode, host: OuterHost, prepared: HostPrep, vm: pulumi.Resource, *guards: pulumi.Resource
    ) -> pulumi.Resource:
        site, config = self._site, self._site.config
        installation = config.installation
        if installation is None:
            raise ValueError("nested nodes need an installation; the configuration's checks refuse a stack without one")
        key = site.host_key(node)
        answers = answer_file.build(
            name=node.name,
            cidr=topology.management_interface(config, node.address),
            mac=topology.mac_address(node, host.management_bridge),
            network=config.management_network,
            installation=installation,
            root_password_hashed=site.hashed_root_password(),
            ssh_public_key=site.credentials.public_key,
        )
        wanted = InstallNode(
            stack=site.stack,
            vmid=node.vmid,
            name=node.name,
            base_iso_path=prepared.iso_path,
            iso_storage=host.iso_storage
            if isinstance(host, ProxmoxVeHost)
            else topology.image_directory(host, site.stack),
            answer=answers.document(config.pve_major),
            first_boot=first_boot.render(node.name, key),
            ssh_address=str(node.address),
            ssh_host_key=key.public,
            timeout_s=installation.timeout_s,
        )
        opts = steps.after(self, vm, *guards, *prepared.install_ready, deleted_with=vm, replace_with=[vm])
        return steps.on_machine(
            f"{self._logical}-install", site.machine(host), "install-node", wanted, opts, site=site, secret=True
        )

    def _claim(self, node: ExistingNode, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """An existing machine has no tags as a VM has: before anything else, its owner is recorded on it."""
        wanted = Claim(self._site.machine(node), self._site.stack)
        opts = steps.after(self, *after)
        name = f"{self._logical}-claim"
        return steps.at_administrator(name, "claim", wanted, self._site.ssh_secrets, opts, removes=True)

    def _prepare_and_verify(
        self, node: NestedNode | ExistingNode, reachable: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        site, machine = self._site, self._site.machine(node)
        within = {"deleted_with": self.vm, "replace_with": [self.vm]} if self.vm is not None else {}
        after = steps.after(self, *reachable, **within)
        package = steps.copy_package(f"{self._logical}-package", machine, site, after)
        networked = self._network(node, package, within)
        prepared = steps.on_machine(
            f"{self._logical}-prepare",
            machine,
            "prepare-node",
            self._prepare_node(node),
            steps.after(self, *networked, **within),
            site=site,
        )
        return steps.on_machine(
            f"{self._logical}-verify",
            machine,
            "verify-node",
            self._verify_node(node),
            steps.after(self, prepared, **within),
            site=site,
            dials=steps.DIALS_REBOOT,
        )

    def _network(
        self, node: NestedNode | ExistingNode, package: pulumi.Resource, within: Mapping[str, Any]
    ) -> list[pulumi.Resource]:
        """The node's addresses, from the control machine: a second login confirms what the first one changed."""
        network = self._site.network(node)
        if network is None:
            return [package]
        wanted = NodeNetworks(self._site.machine(node), network)
        opts = steps.after(self, package, **within)
        name = f"{self._logical}-network"
        return [steps.at_administrator(name, "node-network", wanted, self._site.ssh_secrets, opts)]

    def _prepare_node(self, node: NestedNode | ExistingNode) -> PrepareNode:
        config = self._site.config
        upkeep = config.maintenance
        return PrepareNode(
            name=node.name,
            fqdn=f"{node.name}.{config.management_network.domain}",
            address=str(node.address),
            pve_major=config.pve_major,
            repository=Repository(upkeep.repository, upkeep.uri, sorted(set(upkeep.packages))),
            upgrade=upkeep.upgrade,
            reboot=upkeep.reboot,
        )

    def _verify_node(self, node: NestedNode | ExistingNode) -> VerifyNode:
        config = self._site.config
        return VerifyNode(
            name=node.name,
            address=str(node.address),
            pve_major=config.pve_major,
            interfaces=self._site.interfaces(node),
            require_virtualization=True,
            require_newest_kernel=config.maintenance.upgrade and config.maintenance.reboot,
        )
