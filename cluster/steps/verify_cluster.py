"""verify-cluster: membership, votes, every link between every pair, /etc/pve writable, every API answering.

It changes one thing: a member that was off when the cluster changed gets the cluster's corosync.conf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import formation, verification
from cluster.errors import AdminError
from cluster.transport import members, pins
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import VerifyCluster


async def bring_about(desired: VerifyCluster, call: Call) -> Outcome:
    """Look at all members until all is as described.

    Raises:
        StepError: cluster-not-as-described, why a member did not answer, or those of :func:`cluster.catching_up.catch_up`.
    """
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        reached = {member.name: members.connected(opened, member.name) for member in desired.members}
        proven = await verification.until_as_described(
            desired.cluster, desired.members, reached, timeout_s=desired.timeout_s
        )
    seen = proven.reports
    for member in desired.members:
        # Just compared with what each API presents: the steps that use the API need not look again.
        pins.remember(member, seen[member.name].api_fingerprint or "")
    formation.refuse_further_members(seen.values(), desired.members)
    for name, look in seen.items():
        expected = look.quorum.expected if look.quorum else 0
        if expected != desired.expected_votes:
            raise AdminError(
                "cluster-not-as-described",
                f"{name} expects another number of votes",
                observed=str(expected),
                expected=str(desired.expected_votes),
            )
    return Outcome(
        changed=proven.caught_up,
        facts={"cluster": desired.cluster, "members": sorted(seen), "expected_votes": desired.expected_votes},
    )
