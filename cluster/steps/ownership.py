"""ownership: what the provider is about to change is not there yet, or carries this stack's mark. Changes nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import guests, marks, proxmox_ve
from cluster.transport import members
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.call import Call
    from cluster.contract import Ownership
    from cluster.marks import Look


async def bring_about(desired: Ownership, call: Call) -> Outcome:
    """Look, and refuse what is somebody else's.

    Raises:
        AdminError: foreign-vmid, foreign-bridge, guest-foreign, guest-changed, command-failed.
        StepError: why no machine answered.
    """
    async with members.connections(desired.machines, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, partial(proxmox_ve.look, stack=desired.stack))
    # One quorate machine is enough. Where none answered at all, the error says why.
    looks = members.answered(answers) or members.all_answered(answers)
    quorate = [found for found in looks.values() if found.quorate]
    if not quorate:
        proxmox_ve.refuse_silent(looks)
    refuse_foreign(desired, quorate)
    refuse_namesakes(desired, quorate)
    return Outcome(changed=False, facts={"kind": desired.kind, "name": desired.name})


def refuse_foreign(desired: Ownership, looks: Sequence[Look]) -> None:
    """Refuse what exists without the mark; pure.

    Raises:
        AdminError: the code that the desired state names.
    """
    there = (thing for found in looks for thing in found.things if marks.same(thing, desired.kind, desired.name))
    taken = next((thing for thing in there if not thing.ours or thing.kind != desired.kind), None)
    if taken is not None:
        raise marks.foreign(
            desired.code,
            f"{desired.kind} {desired.name} is somebody else's by now, and is left alone",
            observed=taken.shown,
            expected="nothing of that number or name but what this stack made, which has "
            f"{marks.mark(taken, desired.stack)}",
            fix=f"`make up STACK={desired.stack}` says what to change in the stack file; "
            f"`make down STACK={desired.stack}` forgets the record of it and destroys the rest",
        )


def refuse_namesakes(desired: Ownership, looks: Sequence[Look]) -> None:
    """Refuse to make a guest that this stack has under another number, or whose number has another name; pure.

    To the engine that is a new guest, and the end of the old one.

    Raises:
        AdminError: guest-changed.
    """
    there = (thing for found in looks for thing in found.things if thing.kind in (marks.VM, marks.CONTAINER))
    ours = [thing for thing in there if thing.ours and desired.called]
    other = next((one for one in ours if (one.called == desired.called) != (one.name == desired.name)), None)
    if other is not None:
        raise guests.changed(other.shown, f"{desired.called} {desired.kind} {desired.name}")
