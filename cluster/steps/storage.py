"""storage: a shared storage in the cluster's configuration, made and kept by a working member."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.transport import members
from cluster.transport.nodes import run_step
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import ClusterStorage

STORAGE_S = 300.0


async def bring_about(desired: ClusterStorage, call: Call) -> Outcome:
    """Make it, or put right the one that this stack made.

    Raises:
        StepError: member-not-working, other-cluster, and those of the on-node step: storage-foreign, storage-differs.
    """
    # What an earlier version of this program recorded was made by the provider, and carries no mark yet.
    adopt = bool((call.previous or {}).get("adopt"))
    wanted = replace(desired.storage, adopt=desired.storage.adopt or adopt)
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        member = await members.first_working(opened, desired.cluster)
        result = await run_step(member, "storage", wanted, timeout_s=STORAGE_S)
    return Outcome(result.changed, {"storage": desired.storage.name})


async def remove(desired: ClusterStorage, call: Call) -> Outcome:
    """Take it out of the configuration, if it is still what this stack made; what lies on it stays.

    Raises:
        StepError: member-not-working, other-cluster, and those of the on-node step.
    """
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        member = await members.first_working(opened, desired.cluster)
        result = await run_step(member, "storage --remove", desired.storage, timeout_s=STORAGE_S)
    return Outcome(result.changed, {"storage": desired.storage.name})
