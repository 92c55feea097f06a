"""set-qdevice: every member is connected to the QDevice's server, and sees its vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import qdevice
from cluster.transport import members
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import QDeviceSetting


async def bring_about(desired: QDeviceSetting, call: Call) -> Outcome:
    """Set it up, or see that it is.

    Raises:
        StepError: as :func:`cluster.qdevice.set_up`, or why a machine did not answer.
    """
    async with members.connections([*desired.members, desired.server], call.secrets.ssh_private_key) as opened:
        reached = {member.name: members.connected(opened, member.name) for member in desired.members}
        changed = await qdevice.set_up(reached, members.connected(opened, desired.server.name), desired)
    return Outcome(changed, {"server": desired.device.host})
