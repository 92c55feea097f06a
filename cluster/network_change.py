"""A new login after a change of a machine's network: it confirms the change, or learns that it was put back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster.transport import ssh
from cluster.transport.nodes import run_step
from onnode.errors import StepError
from onnode.system import network_guard

if TYPE_CHECKING:
    from cluster.contract import Machine
    from cluster.transport.nodes import StepResult

BACK_S = network_guard.AFTER_S + 45.0  # until a machine that was cut off has put its network back
CONFIRM_S = 30.0
PAUSE_S = 2.0


async def confirm(machine: Machine, private_key: str) -> StepResult:
    """Open a new login and confirm; try again while the change is still being made.

    Raises:
        StepError: network-reverted, or why the machine does not answer even after its time to put the change back.
    """
    async with asyncio.timeout(BACK_S * 2):
        while True:
            try:
                async with ssh.connect(machine, private_key, timeout_s=BACK_S) as connection:
                    return await run_step(connection, "confirm-network", timeout_s=CONFIRM_S, quiet=True)
            except StepError as error:
                if error.code != "machine-busy":
                    raise
            await asyncio.sleep(PAUSE_S)
