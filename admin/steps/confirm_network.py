"""confirm-network: an outer host can be reached after a change of its network, so the change stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin import network_change
from onnode.step import Outcome

if TYPE_CHECKING:
    from admin.desired import HostNetwork
    from admin.step import Call


async def bring_about(desired: HostNetwork, call: Call) -> Outcome:
    """Confirm by a new login.

    Raises:
        StepError: network-reverted, or why the host does not answer.
    """
    result = await network_change.confirm(desired.machine, call.secrets.ssh_private_key)
    return Outcome(result.changed, facts={})
