"""create-cluster: on the seed, unless a node reports that the described cluster exists (F6). Nobody else is the seed's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import formation
from cluster.call import note
from cluster.transport import members
from cluster.transport.nodes import run_step
from onnode.contract.formation import CreateCluster
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import ClusterCreation

MARGIN_S = (
    120.0  # the step's own waits, beyond the time for the command, for the quorum, and for both of an earlier run
)


async def bring_about(desired: ClusterCreation, call: Call) -> Outcome:
    """Look at all members, then adopt or create.

    Raises:
        StepError: see :func:`formation.cluster_to_adopt` and the on-node step.
    """
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, members.membership)
        adopted = formation.cluster_to_adopt(desired.cluster, desired.seed, desired.members, answers)
        if adopted is not None:
            note(f"cluster {desired.cluster} exists; {adopted} is a member")
            return Outcome(changed=False, facts={"cluster": desired.cluster, "adopted": True})
        seed = members.connected(opened, desired.seed)
        bound_s = 4 * desired.timeout_s + MARGIN_S
        result = await run_step(seed, "create-cluster", on_seed(desired), timeout_s=bound_s)
    return Outcome(result.changed, {"cluster": desired.cluster, "adopted": False})


def on_seed(desired: ClusterCreation) -> CreateCluster:
    """What the seed has to do."""
    seed = next(member for member in desired.members if member.name == desired.seed)
    return CreateCluster(desired.cluster, seed.name, seed.node_id, seed.votes, seed.links, timeout_s=desired.timeout_s)
