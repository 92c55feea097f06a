"""CorosyncCluster: the nodes become one cluster, one join after another, each proven from both sides.

The seed creates it, and then it is a node as any other: each has a step by which it joins, or is seen to be a member, in the
order of the ids.

The cluster is formed and changed from the control machine, which looks at every member live (decisions 1 and 17). Nothing here
dissolves a cluster: nested nodes go with their VMs, existing ones stay members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_proxmoxve as proxmoxve

from cluster import contract, formation
from components import left_alone, steps
from components.policed import policed_cluster
from components.recorded import CLUSTER
from config import topology
from onnode.cluster.corosync import expected_votes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.nested_pve_node import NestedPveNode
    from components.site import Site
    from components.witness import Witness
    from config.model import ClusterOptions


@dataclass(frozen=True)
class CorosyncClusterArgs:
    """What is formed of which nodes.

    Attributes:
        site: the stack.
        known: all nodes that were ever described, as the step `identity` printed them.
        nodes: the prepared nodes by name.
        witness: where the QDevice's server is; None without a QDevice.
    """

    site: Site
    known: pulumi.Output[str]
    nodes: Mapping[str, NestedPveNode]
    witness: Witness | None = None


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
        self._cluster, self._witness, self._known = args.site.config.cluster, args.witness, args.known
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

    def _change(self, role: str, step: str, *dependencies: pulumi.Resource) -> pulumi.Resource:
        name, opts = f"{self._logical}-{role}", steps.after(self, *dependencies)
        return steps.at_administrator(
            name, step, self._site.change, self._site.ssh_secrets, opts, remembers=True, knows=self._known
        )

    def _form(self) -> pulumi.Resource:
        members, cluster = self._site.members, self._cluster
        numbers = topology.link_numbers(self._site.config)
        mtus = [contract.LinkMtu(number, link.mtu) for number, link in zip(numbers, cluster.links, strict=True)]
        preflight = contract.ClusterPreflight(members, mtus, cluster.latency_max_ms)
        create = contract.ClusterCreation(cluster.name, cluster.seed, members, cluster.timeout_s)
        last = self._step("preflight", "link-preflight", preflight, *(node.verified for node in self._nodes.values()))
        last = self._change("change", "change-cluster", last)
        self._created = last = self._step("create", "create-cluster", create, last)
        for joiner in members:
            join = contract.JoinNode(cluster.name, joiner, formation.given_to_join(members, joiner), cluster.timeout_s)
            # Each waits for the one before: an unfinished join already counts for the quorum.
            last = self._step(f"join-{joiner.name}", "join-node", join, last)
        if self._site.change.totem:
            # A cluster that was just created has Proxmox VE's own settings.
            last = self._change("settings", "change-cluster", last)
        last = self._change("removal", "remove-members", last)
        device = topology.device(self._site.config)
        if device and self._witness:
            setting = contract.QDeviceSetting(cluster.name, members, self._witness.machine, device, cluster.timeout_s)
            last = self._step("qdevice", "set-qdevice", setting, last, *self._witness.ready)
        votes = expected_votes(members, device)
        verify = contract.VerifyCluster(cluster.name, members, votes, cluster.timeout_s)
        return self._step("verify", "verify-cluster", verify, last)

    def _trusted(self, verified: pulumi.Resource) -> list[pulumi.Resource]:
        """On a first run the cluster's authority comes to be known only now."""
        if self._cluster.api.tls == "verified":
            return [verified]
        wanted = contract.CheckCertificate(self._site.machines)
        return [self._step("certificate", "check-certificate", wanted, verified)]

    def _api_user(self, *trusted: pulumi.Resource) -> pulumi.Resource:
        wanted = contract.ClusterApiUser(
            self._site.machines, self._site.api, self._site.stack_tag, self._cluster.api.role, self._cluster.name
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
        """Options of what lives in the cluster: it goes with the cluster, where all nodes go; no single node takes it along."""
        goes = not topology.has_existing_nodes(self._site.config)
        return steps.after(
            self,
            *dependencies,
            **more,
            deleted_with=self._created if goes else None,
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
