"""link-preflight: each member reaches each other on each link, with packets of full size, quickly (F9)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from cluster.transport import members
from cluster.transport.nodes import run_step
from onnode.contract.links import LinkPeer, LinkPreflight, PreflightLink
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import ClusterPreflight
    from cluster.transport.nodes import StepResult
    from cluster.transport.ssh import Connection

PREFLIGHT_S = 120.0


async def bring_about(desired: ClusterPreflight, call: Call) -> Outcome:
    """Let all members try all their links at the same time; where ping gets no answer, again with packets of our own.

    Raises:
        StepError: link-address, link-unreachable, link-mtu, link-lossy, link-slow, or why a member did not answer.
    """
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        results = await _try(desired, opened, probe=False)
        if any(result.facts["silent"] for result in results.values()):
            results = await _try(desired, opened, probe=True)
    return Outcome(
        changed=False, facts={"latency_ms": {name: result.facts["latency_ms"] for name, result in results.items()}}
    )


async def _try(desired: ClusterPreflight, opened: members.Opened, *, probe: bool) -> dict[str, StepResult]:
    async def ask(connection: Connection) -> StepResult:
        wanted = dataclasses.replace(seen_from(desired, connection.machine.name), probe=probe)
        return await run_step(connection, "link-preflight", wanted, timeout_s=PREFLIGHT_S)

    return members.all_answered(await members.ask(opened, ask))


def seen_from(desired: ClusterPreflight, name: str) -> LinkPreflight:
    """What one member has to try: its own links, and every other member's address on them."""
    mtus = {mtu.number: mtu.mtu for mtu in desired.mtus}
    member = next(member for member in desired.members if member.name == name)
    links = [
        PreflightLink(
            link.number,
            link.address,
            [
                LinkPeer(peer.name, end.address)
                for peer in desired.members
                if peer.name != name
                for end in peer.links
                if end.number == link.number
            ],
            mtus[link.number],
        )
        for link in member.links
    ]
    return LinkPreflight(links, desired.latency_max_ms)
