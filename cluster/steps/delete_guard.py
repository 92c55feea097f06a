"""delete-guard: stands before something that the provider made. It is deleted first, after a last check of the owner.

The provider deletes by number or name. Nothing runs when the guard is made: what fails then is not recorded, and guards
nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import guests_inside, proxmox_ve
from cluster.steps import ownership
from cluster.transport import members

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import Ownership
    from onnode.step import Outcome

CONNECT_S = 5.0


async def remove(desired: Ownership, call: Call) -> Outcome:
    """Let the removal go on only while this is ours, or gone, and nothing of others would go with it.

    A node that does not answer shows no guests, and does not block the removal.

    Raises:
        AdminError: foreign-vmid, foreign-bridge, guests-inside, command-failed.
        StepError: why the machine did not answer.
    """
    seen = await ownership.bring_about(desired, call)
    if node := desired.inside:
        async with members.connections([node], call.secrets.ssh_private_key, timeout_s=CONNECT_S) as opened:
            answers = await members.ask(opened, partial(proxmox_ve.look, stack=desired.stack))
        guests_inside.refuse({node.name}, members.answered(answers).values())
    return seen
