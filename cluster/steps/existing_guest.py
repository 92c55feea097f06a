"""existing-guest: a guest that exists is under HA as described; nothing else of it is changed, and it is never destroyed.

Looked at in the members' own files, changed through the API. When it goes, so does what carries this stack's comment.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import existing_guests, guests, proxmox_ve
from cluster.call import note, tell
from cluster.errors import AdminError
from cluster.transport import cluster_api, members
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.call import Call
    from cluster.contract import ExistingGuest
    from cluster.existing_guests import Act, Seen
    from cluster.transport.cluster_api import Api


async def bring_about(desired: ExistingGuest, call: Call) -> Outcome:
    """Put it under HA, or change what this stack has set there, unless it is as described.

    Raises:
        AdminError: guest-missing, guest-changed, guest-foreign, guest-tied, ha-foreign, guest-not-as-described, and those of the API.
        StepError: why no member answered over SSH.
    """
    before = (call.previous or {}).get("sid", desired.sid)
    if before != desired.sid:
        raise existing_guests.another(desired.name, before, desired.sid)
    seen = await _look(desired, call)
    if seen is None:
        raise AdminError(
            "guest-missing",
            f"{desired.name} is described as existing, and there is no cluster yet",
            observed=f"{', '.join(member.name for member in desired.members)}: in no cluster, or without an answer",
            expected="a cluster that has the guest",
        )
    wanted = existing_guests.acts(desired, seen)
    if wanted:
        api = await cluster_api.connect(desired.members, desired.api, call.secrets)
        _do(api, wanted)
        now = await _look(desired, call)
        if now is None or (left := existing_guests.acts(desired, now)):
            raise AdminError(
                "guest-not-as-described",
                f"the HA settings of {desired.name} are not as described after they were changed",
                observed=f"still to do: {'; '.join(act.said for act in left)}" if now else "no member answers any more",
                expected="nothing to do",
            )
    return Outcome(bool(wanted), {"sid": desired.sid})


async def remove(desired: ExistingGuest, call: Call) -> Outcome:
    """Take away what this stack has made of its HA settings, and wait until HA has let go of the guest, which goes on.

    Raises:
        AdminError: task-timeout, and those of the API.
        StepError: why no member answered over SSH.
    """
    seen = await _look(desired, call)
    if seen is None:
        return Outcome(changed=False, facts={"sid": desired.sid})
    wanted = existing_guests.leaving(desired, seen)
    if wanted:
        api = await cluster_api.connect(desired.members, desired.api, call.secrets)
        _do(api, wanted)
        if any(act.path.startswith("resources/") for act in wanted):
            guests.wait_until_released(api, desired.sid)
    there = seen.guests.get(desired.vmid)
    if there is not None:
        own = "out of HA" if wanted else "with the HA settings of others"
        tell(f"{there.shown} is not this stack's any more; it stays as it is, {own}")
    return Outcome(bool(wanted), {"sid": desired.sid})


def _do(api: Api, wanted: Sequence[Act]) -> None:
    for act in wanted:
        note(act.said)
        getattr(api, act.method)(f"/cluster/ha/{act.path}", **act.options)


async def _look(desired: ExistingGuest, call: Call) -> Seen | None:
    """What the first member shows that may speak for the cluster; None while there is none. Whose things are does not count here."""
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, partial(proxmox_ve.look, stack=""))
    told = members.answered(answers)
    if not told:
        members.raise_first(answers.values())
    for one in told.values():
        if one.cluster and one.quorate:
            return one.guests
    proxmox_ve.refuse_silent({name: one for name, one in told.items() if not one.quorate})
    return None
