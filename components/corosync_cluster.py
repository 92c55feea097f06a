"""CorosyncCluster: the nodes become one cluster, one join after another, each proven from both sides.

The seed creates it, the others join in the order of their ids. Each join is given only those that join before it: neither
the order of the stack file nor a node that comes later runs one again.

The cluster is formed from the control machine, which looks at every member live (decision 1). Nothing here
removes a node or dissolves a cluster: nested nodes go with their VMs, existing ones stay members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_proxmoxve as proxmoxve

from cluster import contract
from components import left_alone, steps
from components.policed import policed_cluster
from components.recorded import CLUSTER
from config import topology
from onnode.cluster.corosync import expected_votes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.nested_pve_node import NestedPveNode
    from components.site import Site
    from config.model import ClusterOptions


@dataclass(frozen=True)
class CorosyncClusterArgs:
    """What is formed of which nodes.

    Attributes:
        site: the stack.
        nodes: the prepared nodes by name.
    """

    site: Site
    nodes: Mapping[str, NestedPveNode]


class CorosyncCluster(pulumi.ComponentResource):
    """The cluster, quorate, with its API user and options.

    Attributes:
        user: the step that makes the API user.
        provider: the cluster's API, as that user.
        ready: what all that lives in the cluster waits for.
    """

    def __init__(self, name: str, args: CorosyncClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = policed_cluster(args.site.config)
        super().__init__(CLUSTER, name, props, opts)
        self._logical, self._site, self._nodes = name, args.site, args.nodes
        self._cluster = args.site.config.cluster
        verified = self._form()
        trusted = self._trusted(verified)
        self.user = self._api_user(*trusted)
        self.provider = self._connect(*trusted)
        self.ready: list[pulumi.Resource] = [self.user, *self._options()]
        self.register_outputs({**props, "endpoint": self._cluster.api.endpoint})

    def _step(self, role: str, step: str, wanted: Any, *dependencies: pulumi.Resource) -> pulumi.Resource:  # noqa: ANN401
        secrets = self._site.join_secrets if step == "join-node" else self._site.ssh_secrets
        return steps.at_administrator(
            f"{self._logical}-{role}", step, wanted, secrets, steps.after(self, *dependencies)
        )

    def _form(self) -> pulumi.Resource:
        members, cluster = self._site.members, self._cluster
        mtus = [contract.LinkMtu(number, link.mtu) for number, link in enumerate(cluster.links)]
        preflight = contract.ClusterPreflight(members, mtus, cluster.latency_max_ms)
        create = contract.ClusterCreation(cluster.name, cluster.seed, members, cluster.timeout_s)
        last = self._step("preflight", "link-preflight", preflight, *(node.verified for node in self._nodes.values()))
        last = self._step("create", "create-cluster", create, last)
        seed, *joiners = members
        for joiner in joiners:
            present = [seed, *(other for other in joiners if other.node_id < joiner.node_id)]
            join = contract.JoinNode(cluster.name, joiner, present, cluster.timeout_s)
            # Each waits for the one before: an unfinished join already counts for the quorum.
            last = self._step(f"join-{joiner.name}", "join-node", join, last)
        verify = contract.VerifyCluster(cluster.name, members, expected_votes(members), cluster.timeout_s)
        return self._step("verify", "verify-cluster", verify, last)

    def _trusted(self, verified: pulumi.Resource) -> list[pulumi.Resource]:
        """On a first run the cluster's authority comes to be known only now."""
        if self._cluster.api.tls == "verified":
            return [verified]
        wanted = contract.CheckCertificate(self._site.machines)
        return [self._step("certificate", "check-certificate", wanted, verified)]

    def _api_user(self, *trusted: pulumi.Resource) -> pulumi.Resource:
        wanted = contract.ClusterApiUser(
            self._site.machines, self._site.api, self._site.stack_tag, self._cluster.api.role
        )
        name = f"{self._logical}-api-user"
        opts = steps.after(self, *trusted)
        return steps.at_administrator(name, "api-user", wanted, self._site.api_secrets, opts)

    def _connect(self, *trusted: pulumi.Resource) -> proxmoxve.Provider:
        """Configured only when the certificates to trust are known, and never so that it trusts any."""
        api = self._cluster.api
        return proxmoxve.Provider(
            f"{self._logical}-api",
            # Under `pinned` a member's address, by PROXMOX_VE_ENDPOINT: another member is no change of the program.
            endpoint=api.endpoint if api.tls == "verified" else None,
            username=api.user,
            password=pulumi.Output.secret(self._site.credentials.api_password.get_secret_value()),
            opts=steps.after(self, *trusted),
        )

    def inside(self, *dependencies: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - options as they are
        """Options of what lives in the cluster: it goes with the seed's VM, or stays with existing nodes."""
        seed = self._nodes[self._cluster.seed].vm
        return steps.after(
            self,
            *dependencies,
            **more,
            deleted_with=seed,
            retain_on_delete=topology.keeps_guests(self._site.config),
        )

    def _options(self) -> list[pulumi.Resource]:
        options = self._cluster.options
        if options.migration_network is None and options.ha_shutdown_policy is None:
            return []
        network = options.migration_network
        inside = self.inside(self.user, provider=self.provider, ignore_changes=_not_described(options))
        # The provider would clear the cluster's other options, too: they are the users'.
        inside.retain_on_delete = True
        return [
            proxmoxve.cluster.Options(
                f"{self._logical}-options",
                migration_cidr=str(network) if network else None,
                migration_type="secure" if network else None,
                ha_shutdown_policy=options.ha_shutdown_policy,
                opts=inside,
            )
        ]


def _not_described(options: ClusterOptions) -> list[str]:
    network = [] if options.migration_network else ["migrationCidr", "migrationType"]
    return [*left_alone.OPTIONS, *network, *([] if options.ha_shutdown_policy else ["haShutdownPolicy"])]
