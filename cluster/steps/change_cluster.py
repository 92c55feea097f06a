"""change-cluster: votes, links and settings of a live cluster become the described ones, before nodes join."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cluster import changing, network_change, qdevice, removal
from cluster.call import note
from cluster.corosync_change import CorosyncChange
from cluster.planning import known, words
from cluster.planning.rewriting import OWN
from cluster.steps import node_network
from cluster.transport import members, ssh
from cluster.transport.nodes import run_step
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.call import Call
    from cluster.changing import Situation
    from cluster.contract import ClusterChange
    from cluster.transport.members import Opened


async def bring_about(desired: ClusterChange, call: Call) -> Outcome:
    """Run this step's part of the plan, one transition after another.

    Raises:
        AdminError: as :func:`cluster.changing.situation`, and :class:`CorosyncChange`.
    """
    async with changing.situation(desired, call) as now:
        facts = known.facts(desired, now.remembered, now.listed)
        if now.newest is None:
            return Outcome(changed=False, facts=facts)
        witnesses = known.described_witnesses(desired, now.remembered)
        qdevice.refuse_unknown(now.plan, witnesses)
        kept = await removal.take_back(now, desired)
        own = [planned.transition for planned in now.plan if isinstance(planned.transition, OWN)]
        async with _all_members(now, call) as opened:
            released = await qdevice.release(now.plan, opened, desired, witnesses)
            leaving = now.listed - {member.name for member in desired.members}
            change = CorosyncChange(opened, desired.stack, desired.timeout_s, frozenset(leaving))
            restarted = await change.restart()
            for transition in own:
                note(f"  {words.done(transition)}")
                await change.run(transition, words.done(transition))
            reached = {name: one for name, one in opened.items() if isinstance(one, ssh.Connection)}
            # At the same time, as the addresses came: corosync has let go of them everywhere by now.
            asked = await members.ask(reached, lambda one: _settle(one, desired, call), waiting="")
            settled = any(members.all_answered(asked).values())
        return Outcome(kept or released or restarted or bool(own) or settled, facts)


async def _settle(connection: ssh.Connection, desired: ClusterChange, call: Call) -> bool:
    """The addresses that corosync has let go of leave their interfaces; returns whether any did."""
    network = desired.networks.get(connection.machine.name)
    if network is None:
        return False
    result = await run_step(connection, "node-network", network, timeout_s=node_network.CHANGE_S)
    if result.facts["armed"]:
        await network_change.confirm(connection.machine, call.secrets.ssh_private_key)
    return result.changed


@asynccontextmanager
async def _all_members(now: Situation, call: Call) -> AsyncIterator[Opened]:
    """Connections to all nodes that the cluster lists, also to those that are described no more."""
    leavers = [one.machine for name, one in now.known.items() if name in now.listed - now.opened.keys() and one.machine]
    async with members.connections(leavers, call.secrets.ssh_private_key) as further:
        yield {name: one for name, one in {**now.opened, **further}.items() if name in now.listed}
