"""arm-network: an outer host whose network its API is about to change will put it back by itself."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cluster.steps import ownership
from cluster.transport import ssh
from cluster.transport.nodes import run_step
from onnode.contract.node import ArmNetwork
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import HostNetwork

ARM_S = 120.0


async def bring_about(desired: HostNetwork, call: Call) -> Outcome:
    """Arm for this one change, unless the bridge is somebody else's.

    Raises:
        AdminError: foreign-bridge.
        StepError: why the host could not be armed; nothing has been changed then.
    """
    if desired.ownership is not None:
        await ownership.bring_about(desired.ownership, call)
    wanted = ArmNetwork(desired.change, secrets.token_hex(8))
    async with ssh.connect(desired.machine, call.secrets.ssh_private_key) as connection:
        await run_step(connection, "arm-network", wanted, timeout_s=ARM_S)
    return Outcome(changed=True, facts={})


async def remove(desired: HostNetwork, call: Call) -> Outcome:
    """Arm for a removal."""
    return await bring_about(desired, call)
