"""Looking at members until the cluster is as described, for a bounded time; one that missed a change gets it meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import catching_up, formation
from cluster.errors import AdminError
from cluster.transport import certificates, members
from cluster.waiting import until_async

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.contract import Member
    from cluster.transport.ssh import Connection
    from onnode.contract.membership import MembershipReport

POLL_S = 0.25


@dataclass(frozen=True)
class Proven:
    """The last findings.

    Attributes:
        reports: of each connected member, by name.
        caught_up: whether a member got the cluster's corosync.conf.
    """

    reports: dict[str, MembershipReport]
    caught_up: bool


async def until_as_described(
    cluster: str,
    described: Sequence[Member],
    connections: Mapping[str, Connection],
    *,
    timeout_s: float,
    only_through: str | None = None,
) -> Proven:
    """Look from every connected member, again and again, until nothing is amiss.

    A member that was off when the cluster changed gets its corosync.conf: without that, nothing here would end well.

    Args:
        cluster: its name.
        described: the nodes that must be members.
        connections: those of them that can be asked.
        timeout_s: when to give up.
        only_through: look only at the links and the API of this node.

    Raises:
        AdminError: cluster-not-as-described, with everything that is amiss.
        StepError: why a member does not answer any more, and those of :func:`cluster.catching_up.catch_up`.
    """
    tried: list[tuple[str, list[str]]] = []  # who was behind: their files are asked for once
    caught_up = False

    async def look() -> tuple[dict[str, MembershipReport], list[str]]:
        nonlocal caught_up
        seen = members.all_answered(await members.ask(connections, members.membership))
        behind = catching_up.behind(cluster, seen)
        if behind is not None and behind not in tried:
            tried.append(behind)
            if await catching_up.catch_up(cluster, connections, seen, timeout_s):
                caught_up = True
                seen = members.all_answered(await members.ask(connections, members.membership))
        amiss = formation.problems(cluster, described, seen, only_through=only_through)
        looked_at = [member for member in described if member.name in seen and only_through in (None, member.name)]
        return seen, amiss + await _api_problems(looked_at, seen)

    seen, amiss = await until_async(look, lambda looked: not looked[1], timeout_s=timeout_s, poll_s=POLL_S)
    if amiss:
        raise AdminError(
            "cluster-not-as-described",
            f"cluster {cluster} is not as described",
            observed="; ".join(amiss),
            expected=f"{members.names(described)} are members, all see each other on all links, within {timeout_s:g} s",
        )
    return Proven(seen, caught_up)


async def _api_problems(described: Sequence[Member], seen: Mapping[str, MembershipReport]) -> list[str]:
    """Whose API does not answer here with the certificate that the node holds (F5, F25); old workers are outlived."""
    presented = await asyncio.gather(
        *(certificates.presented_as(seen[member.name].api_fingerprint, member.address) for member in described)
    )
    return [
        f"the API of {member.name} {'presents another certificate than it holds' if found else 'does not answer'}"
        for member, found in zip(described, presented, strict=True)
        if found is None or found != seen[member.name].api_fingerprint
    ]
