"""delete-guard: stands before something that the provider made, and is deleted first, after a last look whose it is.

The provider deletes by number or name. Making the guard must not fail: what fails is not recorded, and guards nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin.steps import ownership
from onnode.step import Outcome

if TYPE_CHECKING:
    from admin.desired import Ownership
    from admin.step import Call


async def bring_about(desired: Ownership, _call: Call) -> Outcome:
    """Be recorded, and nothing else."""
    return Outcome(changed=False, facts={"kind": desired.kind, "name": desired.name})


async def remove(desired: Ownership, call: Call) -> Outcome:
    """Let the removal go on only while this is ours, or gone.

    Raises:
        AdminError: foreign-vmid, foreign-bridge, command-failed.
        StepError: why the machine did not answer.
    """
    return await ownership.bring_about(desired, call)
