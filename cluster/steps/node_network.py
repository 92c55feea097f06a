"""node-network: a node's addresses are changed over one connection and confirmed over another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import network_change
from cluster.errors import AdminError
from cluster.transport import ssh
from cluster.transport.nodes import run_step
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import NodeNetworks
    from cluster.transport.nodes import StepResult

CHANGE_S = 420.0  # the wait for another step on the machine included
BROKEN = ("host-unreachable", "ssh-timeout")


class _BrokenError(AdminError):
    """The connection was there, and broke before the node could report."""

    def __init__(self, error: AdminError) -> None:
        super().__init__(error.code, error.what, observed=error.observed, expected=error.expected)


async def bring_about(desired: NodeNetworks, call: Call) -> Outcome:
    """Change, and confirm by a new login. A connection that breaks meanwhile is tried once more, if it comes back.

    Raises:
        StepError: network-reverted, the node's own refusals, or why it did not answer.
    """
    key = call.secrets.ssh_private_key
    try:
        result = await _change(desired, key)
    except _BrokenError:
        await network_change.confirm(desired.machine, key)
        result = await _change(desired, key)
    if result.facts["armed"]:
        await network_change.confirm(desired.machine, key)
    return Outcome(result.changed, {"interfaces": result.facts["interfaces"]})


async def _change(desired: NodeNetworks, key: str) -> StepResult:
    async with ssh.connect(desired.machine, key) as connection:
        try:
            return await run_step(connection, "node-network", desired.network, timeout_s=CHANGE_S)
        except AdminError as error:
            if error.code in BROKEN:
                raise _BrokenError(error) from error
            raise
