"""claim: an existing machine belongs to one stack. Before anything else on it; taken back when the stack lets it go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import claims
from cluster.call import note
from cluster.errors import AdminError
from cluster.transport import ssh
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import Claim

LOOK_S = 20.0


async def bring_about(desired: Claim, call: Call) -> Outcome:
    """Enter the stack, unless another one is entered.

    Raises:
        AdminError: machine-taken, command-failed.
        StepError: why the machine did not answer.
    """
    name = desired.machine.name
    async with ssh.connect(desired.machine, call.secrets.ssh_private_key) as connection:
        done = await connection.run(claims.enter(desired.stack), timeout_s=LOOK_S)
    *entered, owner = done.stdout.splitlines() or [""]
    claims.refuse_others(desired.stack, {name: owner})
    if not owner:
        raise AdminError(
            "command-failed",
            f"the owner of {name} cannot be recorded on it",
            observed=done.stderr.strip() or f"no {claims.FILE}",
            expected=f"{claims.FILE}, which names stack {desired.stack}",
        )
    return Outcome(changed=bool(entered), facts={"name": name, "stack": owner})


async def remove(desired: Claim, call: Call) -> Outcome:
    """Take it back. A machine that does not answer keeps it, and holds up nothing."""
    try:
        async with ssh.connect(desired.machine, call.secrets.ssh_private_key) as connection:
            await connection.run(claims.leave(desired.stack), timeout_s=LOOK_S)
    except StepError as error:
        note(f"{claims.FILE} stays on {desired.machine.name}: {error.what}")
    return Outcome(changed=False, facts={"name": desired.machine.name})
