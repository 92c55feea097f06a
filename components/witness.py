"""Witness: a machine outside of the cluster that runs the QDevice's server.

It is there before the nodes, and goes after them: while members are connected, they need its vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from cluster.contract import WitnessRemoval
from components import steps
from components.recorded import WITNESS
from config.model import OuterHost
from onnode.contract.qdevice import Witness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.host_prep import HostPrep
    from components.site import Site
    from config.model import WitnessMachine


@dataclass(frozen=True)
class WitnessArgs:
    """Where the server is.

    Attributes:
        site: the stack.
        server: the machine.
        after: what must be done before it is touched.
        hosts: the prepared outer hosts by name, one of which it may be.
    """

    site: Site
    server: OuterHost | WitnessMachine
    after: Sequence[pulumi.Resource]
    hosts: Mapping[str, tuple[OuterHost, HostPrep]]


class Witness(pulumi.ComponentResource):
    """The QDevice's server.

    Attributes:
        machine: how it is reached.
        ready: what those wait for who connect to it.
    """

    def __init__(self, name: str, args: WitnessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        site, server = args.site, args.server
        props = {"machine": server.name, "address": str(server.address)}
        super().__init__(WITNESS, name, props, opts)
        self.machine = site.machine(server)
        before = (
            args.hosts[server.name][1].install_ready
            if isinstance(server, OuterHost)
            else [steps.copy_package(f"{name}-package", self.machine, site, steps.after(self, *args.after))]
        )
        cluster = site.config.cluster.name
        # It is removed from the control machine, where one that is lost for good is told and passed over.
        removal = steps.at_removal(
            f"{name}-removal",
            "remove-witness",
            WitnessRemoval(cluster, self.machine),
            site.ssh_secrets,
            steps.after(self, *before),
        )
        wanted = Witness(cluster)
        opts = steps.after(self, removal)
        self.ready: list[pulumi.Resource] = [
            steps.on_machine(f"{name}-server", self.machine, "witness", wanted, opts, site=site)
        ]
        self.register_outputs(props)
