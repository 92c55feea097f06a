"""verify-guest: after registration, the guest is in the wanted HA state on an allowed node.

Deleted before the registration, it waits until HA has recovered the guest from a dead node: nobody else would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import guests
from cluster.errors import AdminError
from cluster.transport import cluster_api
from cluster.waiting import until_async
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import VerifyGuest


async def bring_about(desired: VerifyGuest, call: Call) -> Outcome:
    """Look until HA has brought the guest there, for a bounded time.

    Raises:
        AdminError: guest-not-as-described, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)

    async def look() -> tuple[str, str] | None:
        return placement(desired.sid, api.get("/cluster/ha/status/current"))

    def settled(seen: tuple[str, str] | None) -> bool:
        return seen is not None and (seen[0] == "error" or fits(desired, *seen))

    seen = await until_async(look, settled, timeout_s=desired.timeout_s, poll_s=guests.POLL_S)
    if seen is None or not fits(desired, *seen):
        raise AdminError(
            "guest-not-as-described",
            f"guest {desired.sid} is not as described",
            observed=f"{seen[0]} on {seen[1]}" if seen else "the HA manager does not know it",
            expected=f"{desired.state} on {' or '.join(desired.nodes) or 'any node'} within {desired.timeout_s} s",
        )
    # Where it runs is no fact of the state: HA moves it.
    return Outcome(changed=False, facts={"sid": desired.sid, "state": desired.state})


async def remove(desired: VerifyGuest, call: Call) -> Outcome:
    """Wait until the guest, if there is one, is on a node that is up.

    Raises:
        AdminError: guest-node-down, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    found = guests.find(api, int(desired.sid.partition(":")[2]))
    if found is not None:
        guests.wait_until_reachable(api, found)
    return Outcome(changed=False, facts={"sid": desired.sid})


def placement(sid: str, status: list[dict[str, Any]]) -> tuple[str, str] | None:
    """A guest's HA state and node; None if HA does not know it. Pure."""
    entry = next((entry for entry in status if entry.get("sid") == sid), None)
    return (str(entry.get("crm_state") or entry.get("state")), str(entry.get("node"))) if entry else None


def fits(desired: VerifyGuest, state: str, node: str) -> bool:
    """Whether that is as described; pure."""
    return state == desired.state and (not desired.nodes or node in desired.nodes)
