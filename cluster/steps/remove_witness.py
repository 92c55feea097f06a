"""remove-witness: when it goes, the QDevice's server goes from its machine, if that is there.

A witness that is lost for good holds up nothing: the cluster does without it by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.call import tell
from cluster.transport import members
from cluster.transport.nodes import PACKAGE, run_step
from onnode.cluster import witness
from onnode.contract.qdevice import Witness
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import WitnessRemoval

LOOK_S = 20.0
REMOVE_S = 1900.0  # another program's work on packages may hold it up


async def remove(desired: WitnessRemoval, call: Call) -> Outcome:
    """Clean up there; where nobody can log in, say what stays.

    Raises:
        StepError: those of the step `witness --remove`, and `host-unreachable` when the connection breaks meanwhile.
    """
    name = desired.machine.name
    async with members.connections([desired.machine], call.secrets.ssh_private_key) as opened:
        connection = opened[name]
        if isinstance(connection, StepError):
            tell(f"{witness.UNIT} and {witness.DIRECTORY} stay on {name}: {connection.what} ({connection.observed})")
            return Outcome(changed=False, facts={"kept": True})
        # The step removes the package of steps at last: a run that was killed right after that asks once more.
        if (await connection.run(f"test -e {PACKAGE}", timeout_s=LOOK_S)).exit_code != 0:
            return Outcome(changed=False, facts={"kept": False})
        done = await run_step(connection, "witness --remove", Witness(desired.cluster), timeout_s=REMOVE_S)
    return Outcome(done.changed, done.facts)
