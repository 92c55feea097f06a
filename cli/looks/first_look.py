"""The look at all machines before the engine starts, over one login for each.

It shows what exists and whose it is, which certificates the APIs have, and what drifted.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.drift import judge
from cli.drift import look as drift
from cli.drift.kinds import OFF, SILENT
from cli.engine.failures import resource_name
from cli.looks import settling, trust, whereabouts
from cli.state import outer_vms
from cli.state.belongings import CLUSTER
from cluster.transport import members
from config.model import NestedNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cli.description import Description
    from cli.drift.model import Drift
    from cluster.contract import Machine
    from cluster.marks import Look
    from cluster.transport.members import Opened
    from onnode.contract.membership import Membership
    from onnode.errors import StepError

CONNECT_S = 5.0


@dataclass(frozen=True)
class FirstLook:
    """What the machines show.

    Attributes:
        looks: what is there, by place: each outer host by its name, and the cluster.
        trusted: environment variables for the engine: what to trust, and where the cluster is.
        drifted: what differs from how its resource made it.
        answering: the nodes that answer.
        silent: the machines that did not answer, without nodes that are known to be off.
        memberships: what nodes say of their cluster, by name.
        unreached: why nobody could log in to a node, by name.
    """

    looks: dict[str, list[Look]]
    trusted: dict[str, str]
    drifted: list[Drift]
    answering: frozenset[str] = frozenset()
    silent: Sequence[Drift] = ()
    memberships: Mapping[str, Membership] = field(default_factory=dict)
    unreached: Mapping[str, StepError] = field(default_factory=dict)

    @property
    def cluster(self) -> settling.ClusterView:
        """What the cluster shows."""
        return settling.ClusterView(self.looks.get(CLUSTER, []), self.answering)

    @property
    def unrecorded_silent(self) -> list[Drift]:
        """The silent machines of which nothing is recorded; what drifted names the others."""
        named = {one.where for one in self.drifted if one.kind == SILENT}
        return [one for one in self.silent if one.where not in named]

    def drifted_of(self, state: dict[str, Any]) -> list[Drift]:
        """What drifted, without resources that this state does not record; silent machines are always included."""
        known = {entry["urn"] for entry in state["deployment"].get("resources") or []}
        return [one for one in self.drifted if not one.urn or one.urn in known]


def look(described: Description, state: dict[str, Any], *, drifted: bool = True, all_hosts: bool = True) -> FirstLook:
    """Look at every machine that is there.

    Args:
        described: which machines there are.
        state: what is recorded.
        drifted: ask for what drifted, too.
        all_hosts: an outer host that does not answer is an error.

    Raises:
        StepError: why an outer host did not answer; api-certificate.
    """
    return asyncio.run(_look(described, state, drifted=drifted, all_hosts=all_hosts))


async def _look(described: Description, state: dict[str, Any], *, drifted: bool, all_hosts: bool) -> FirstLook:
    hosts, nodes = drift.machines(described)
    made = set(outer_vms.recorded(state))
    known = {node.name for node in described.config.nodes if not isinstance(node, NestedNode) or node.vmid in made}
    key = described.credentials.ssh_private_key.get_secret_value()
    async with AsyncExitStack() as stack:

        async def login(machines: Iterable[Machine]) -> Opened:
            return await stack.enter_async_context(members.connections(machines, key, timeout_s=CONNECT_S))

        async def at_hosts() -> tuple[Opened, dict[str, list[Look]]]:
            opened = await login(hosts)
            return opened, await whereabouts.over(opened, described, all_hosts=all_hosts)

        # A machine that was never made cannot answer: only recorded ones are asked, and those whose VM is on its host.
        (of_hosts, looks), of_nodes = await asyncio.gather(at_hosts(), login(_named(nodes, known)))
        there = {node.name for node in described.config.nodes if whereabouts.is_there(node, looks)}
        of_nodes = {**of_nodes, **await login(_named(nodes, there - known))}
        opened = {**of_hosts, **of_nodes}
        cluster, trusted, found = await asyncio.gather(
            whereabouts.cluster({name: of_nodes[name] for name in of_nodes if name in there}, described),
            trust.over(opened, described),
            drift.over(opened, described, state) if drifted else _nothing(),
        )
    off = {resource_name(one.urn) for one in found.drifted if one.kind == OFF}
    silent = [one for one in judge.silent(opened) if f"{one.where}-install" not in off]
    looks |= {CLUSTER: cluster} if cluster else {}
    return FirstLook(
        looks, trusted, found.drifted, settling.answering(of_nodes), silent, found.memberships, members.failed(of_nodes)
    )


def _named(machines: Iterable[Machine], names: set[str]) -> list[Machine]:
    return [machine for machine in machines if machine.name in names]


async def _nothing() -> drift.Found:
    return drift.Found()
