"""delete-guard: stands before something that the provider made, and is deleted first, after a last look whose it is.

The provider deletes by number or name. Nothing runs when the guard is made: what fails then is not recorded, and guards
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin.steps import ownership

if TYPE_CHECKING:
    from admin.desired import Ownership
    from admin.step import Call
    from onnode.step import Outcome


async def remove(desired: Ownership, call: Call) -> Outcome:
    """Let the removal go on only while this is ours, or gone.

    Raises:
        AdminError: foreign-vmid, foreign-bridge, command-failed.
        StepError: why the machine did not answer.
    """
    return await ownership.bring_about(desired, call)
