"""remove-members: the nodes that are described no more leave the cluster, after all others have joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import changing, removal
from cluster.planning import known
from cluster.planning.model import RemoveMember
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.changing import Situation
    from cluster.contract import ClusterChange


async def bring_about(desired: ClusterChange, call: Call) -> Outcome:
    """Remove them strictly one after another.

    Raises:
        AdminError: as :func:`cluster.changing.situation` and :func:`cluster.removal.remove`.
    """
    key = call.secrets.ssh_private_key
    async with changing.situation(desired, call) as now:
        listed = {node.name: node for node in now.newest.nodes} if now.newest else {}
        names = [step.transition.name for step in now.plan if isinstance(step.transition, RemoveMember)]
        going = [removal.leaving(listed[name], now.known) for name in names]
        # One that was off the list, and has joined again only now.
        kept = await removal.take_back(now, desired)
        for one in going:
            await removal.remove(one, now, desired, key)
        left_over = _left_over(desired, now)
        cleared = [await removal.clear(name, now, desired, key) for name in left_over]
    remembered = known.facts(desired, now.remembered, now.listed - set(names))
    departed = known.departed(desired, now.remembered, {*names, *left_over})
    return Outcome(changed=kept or bool(going) or any(cleared), facts={**remembered, "departed": departed})


def _left_over(desired: ClusterChange, now: Situation) -> list[str]:
    """The nodes that a run which was cut off has taken off the list, or somebody by hand."""
    described = {member.name for member in desired.members}
    return sorted(now.known.keys() - described - now.listed) if now.newest else []
