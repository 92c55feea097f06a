"""api-user: the user for day-to-day work with its role on `/`; its password works at the endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import AdminError
from cluster.transport import cluster_api, members
from cluster.transport.nodes import run_step
from onnode.contract.formation import ApiUser
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import ClusterApiUser

USER_S = 180.0


async def bring_about(desired: ClusterApiUser, call: Call) -> Outcome:
    """Make the user on a working member, then log in through the API.

    Raises:
        StepError: member-not-working, other-cluster, that of the on-node step, api-certificate, api-login-failed.
    """
    if call.secrets.api_password is None:
        raise AdminError("bad-call", "the API user needs a password", observed="none given")
    wanted = ApiUser(desired.stack_tag, desired.api.user, call.secrets.api_password, desired.role)
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        member = await members.first_working(opened, desired.cluster)
        result = await run_step(member, "api-user", wanted, timeout_s=USER_S)
    await cluster_api.connect(desired.members, desired.api, call.secrets)
    return Outcome(result.changed, {"user": desired.api.user, "role": desired.role})
