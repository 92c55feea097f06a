"""What every component is given: the configuration, the credentials and the stack's name."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cluster.contract import ApiAccess, ClusterChange, Housing, Machine, Member, Secrets
from components import package
from config import host_keys, root_password, topology
from config.model import ExistingNode, NestedNode
from onnode.contract.links import ClusterLink
from onnode.contract.node import LinkInterface, NodeNetwork
from onnode.system.pve import TAG, stack_tag

if TYPE_CHECKING:
    import pulumi

    from config.credentials import Credentials
    from config.model import Config, OuterHost, Totem, WitnessMachine


@dataclass(frozen=True)
class Site:
    """One stack: what is wanted, and with which credentials."""

    config: Config
    credentials: Credentials
    stack: str
    instance: str | None = None  # of the machines, where they come and go: only the Design records it

    @property
    def tags(self) -> list[str]:
        """The tags of everything this stack makes, sorted as Proxmox sorts them."""
        return sorted([TAG, stack_tag(self.stack)])

    @property
    def stack_tag(self) -> str:
        """The tag that distinguishes this stack's things from another's."""
        return stack_tag(self.stack)

    @cached_property
    def package(self) -> str:
        """The directory of the on-node package, brought up to date once for all machines."""
        return package.stage()

    @cached_property
    def private_key(self) -> pulumi.Output[str]:
        """The SSH key, as a secret."""
        return _secret(self.credentials.ssh_private_key.get_secret_value())

    @cached_property
    def ssh_secrets(self) -> pulumi.Output[str]:
        """For steps that only look."""
        return self._secrets()

    @cached_property
    def plain_ssh_secrets(self) -> str:
        """The same, for what the program itself starts."""
        return json.dumps({"ssh_private_key": self.credentials.ssh_private_key.get_secret_value()})

    @cached_property
    def join_secrets(self) -> pulumi.Output[str]:
        """For a join, where Proxmox wants the root password of the member that lets the node in."""
        return self._secrets(root_password=self.credentials.root_password.get_secret_value())

    @cached_property
    def api_secrets(self) -> pulumi.Output[str]:
        """For steps that use the cluster's API."""
        return self._secrets(api_password=self.credentials.api_password.get_secret_value())

    def _secrets(self, **passwords: str) -> pulumi.Output[str]:
        secrets = Secrets(self.credentials.ssh_private_key.get_secret_value(), **passwords)
        given = {key: value for key, value in dataclasses.asdict(secrets).items() if value is not None}
        return _secret(json.dumps(given))

    def host_key(self, node: NestedNode) -> host_keys.HostKey:
        """The derived host key of a nested node."""
        seed = self.credentials.host_key_seed
        return host_keys.derive(seed.get_secret_value() if seed else "", node.name)

    def hashed_root_password(self) -> str:
        """The root password as an installer gets it."""
        seed = self.credentials.host_key_seed
        plain = self.credentials.root_password.get_secret_value()
        return root_password.hashed(plain, seed.get_secret_value() if seed else "")

    def public_host_key(self, machine: OuterHost | NestedNode | ExistingNode | WitnessMachine) -> str:
        """The SSH host key that a machine must present."""
        if isinstance(machine, NestedNode):
            return self.host_key(machine).public
        return machine.host_key or self.credentials.host_key_of(machine.name) or ""

    def machine(self, host: OuterHost | NestedNode | ExistingNode | WitnessMachine) -> Machine:
        """A machine as it is reached."""
        return Machine(host.name, str(host.address), self.public_host_key(host))

    @cached_property
    def nodes(self) -> list[NestedNode | ExistingNode]:
        """The cluster's nodes by their ids: neither their order in the stack file nor who is the seed means anything."""
        return sorted(self.config.nodes, key=lambda node: node.node_id)

    @cached_property
    def members(self) -> list[Member]:
        """The nodes for steps that form the cluster, or compare it with what is described."""
        return [self._member(node) for node in self.nodes]

    @cached_property
    def machines(self) -> list[Machine]:
        """The nodes for steps that only reach them."""
        return [self.machine(node) for node in self.nodes]

    def _member(self, node: NestedNode | ExistingNode) -> Member:
        numbers = topology.link_numbers(self.config)
        ends = zip(numbers, topology.link_addresses(node), self.config.cluster.links, strict=True)
        links = [ClusterLink(number, str(address), link.priority) for number, address, link in ends]
        reached = self.machine(node)
        return Member(reached.name, reached.address, reached.host_key, node.node_id, node.votes, links)

    @cached_property
    def change(self) -> ClusterChange:
        """The cluster for steps that plan its changes."""
        hosts = {host.name: host for host in self.config.outer_hosts}
        housing = {
            node.name: Housing(self.machine(hosts[node.host]), node.vmid)
            for node in self.nodes
            if isinstance(node, NestedNode)
        }
        cluster = self.config.cluster
        networks = {node.name: network for node in self.nodes if (network := self.network(node))}
        totem = {name: str(value) for name, value in _totem(cluster.totem).items() if value is not None}
        witness = topology.witness(self.config)
        address = str(witness.address) if witness else None
        return ClusterChange(
            cluster.name, self.stack, self.members, housing, totem, cluster.timeout_s, address, networks
        )

    def network(self, node: NestedNode | ExistingNode) -> NodeNetwork | None:
        """The addresses that are set up on a node; None where the user does that."""
        interfaces = self.interfaces(node)
        if not interfaces or not (isinstance(node, NestedNode) or node.manage_network):
            return None
        return NodeNetwork(node.name, str(node.address), self.config.pve_major, interfaces)

    def interfaces(self, node: NestedNode | ExistingNode) -> list[LinkInterface]:
        """The interfaces that carry a node's links and further networks."""
        return [
            LinkInterface(str(found.address), mac=found.mac, name=found.name, mtu=found.mtu)
            for found in topology.node_addresses(self.config, node)
        ]

    @property
    def api(self) -> ApiAccess:
        """The cluster's API."""
        api = self.config.cluster.api
        return ApiAccess(api.endpoint, api.user, api.tls)


def _totem(totem: Totem) -> dict[str, object]:
    """By corosync's own names."""
    return {
        "link_mode": totem.link_mode,
        "token": totem.token_ms,
        "token_coefficient": totem.token_coefficient_ms,
    }


def _secret(text: str) -> pulumi.Output[str]:
    import pulumi  # noqa: PLC0415 - slow to load, and only the program, which has it, comes here

    return pulumi.Output.secret(text)
