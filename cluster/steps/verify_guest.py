"""verify-guest: after registration, the guest is in the wanted HA state on an allowed node, or on one that is preferred now.

HA gives up a guest that it could not start, such as one whose storage was away for a while: it is in state `error` then, and HA does
nothing more. One that is found so, and does not run, is started again, by HA itself.

Where a guest runs is HA's business. Only when other nodes are preferred than in the run before, it is brought to one of them, by HA
itself: a VM live, a container with a restart. With `failback` HA does that unasked, and is only waited for.

Deleted before the registration, it waits until HA has recovered the guest from a dead node: nobody else would.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from cluster import guests
from cluster.call import note
from cluster.errors import AdminError
from cluster.transport import cluster_api
from cluster.waiting import until_async
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import VerifyGuest
    from cluster.transport.cluster_api import Api

MOVE_S = 1800.0  # memory of many GiB over a slow network
STATUS = "/cluster/ha/status/current"
ERROR, STARTING = "error", "starting"
MOVING = ("migrate", "relocate")  # states of HA's manager (pve-ha-manager, Manager.pm)


async def bring_about(desired: VerifyGuest, call: Call) -> Outcome:
    """Look until HA has brought the guest there, for a bounded time.

    Raises:
        AdminError: guest-not-as-described, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)

    async def look() -> tuple[str, str] | None:
        return placement(desired.sid, api.get(STATUS))

    follows = is_preferred_elsewhere(desired, call.previous)

    def fine(seen: tuple[str, str] | None) -> bool:
        return seen is not None and (fits(desired, *seen) or (follows and seen[0] in MOVING))

    def settled(seen: tuple[str, str] | None) -> bool:
        return fine(seen) or (seen is not None and seen[0] == ERROR)

    seen = await look()
    restarts = desired.state == "started" and not desired.existing
    restored = restarts and await _take_out_of_error(desired, api, seen)
    if restored or not settled(seen):
        seen = await until_async(look, settled, timeout_s=desired.timeout_s, poll_s=guests.POLL_S)
    if seen is None or not fine(seen):
        raise AdminError(
            "guest-not-as-described",
            f"guest {desired.sid} is not as described",
            observed=f"{seen[0]} on {seen[1]}" if seen else "the HA manager does not know it",
            expected=f"{desired.state} on {' or '.join(desired.nodes) or 'any node'} within {desired.timeout_s} s",
            fix=_after_error(*seen) if seen and seen[0] == ERROR and not desired.existing else "",
        )
    moved = follows and (seen[0] in MOVING or seen[1] not in desired.preferred) and await _bring(desired, api, *seen)
    # Where it runs is no fact of the state: HA moves it.
    return Outcome(restored or moved, {"sid": desired.sid, "state": desired.state, "preferred": desired.preferred})


def _after_error(_state: str, node: str) -> str:
    return (
        f"`journalctl -u pve-ha-lrm` on {node} says why HA gave it up; mend that, then run the same command again: what does not run "
        "is started again"
    )


async def _take_out_of_error(desired: VerifyGuest, api: Api, seen: tuple[str, str] | None) -> bool:
    """Let HA start a guest again that it gave up; whether it was one.

    One that runs all the same, is locked, or is on a node that is down may be half of something: that is for a person. A run that
    ends in between leaves it disabled, which the next one sees as another state than described.
    """
    if seen is None or seen[0] != ERROR or not _is_at_rest(api, int(desired.sid.partition(":")[2])):
        return False
    note(f"HA gave up {desired.sid} on {seen[1]}, where it does not run: it is started again")
    resource = f"/cluster/ha/resources/{desired.sid}"
    api.put(resource, state="disabled")

    async def look() -> tuple[str, str] | None:
        return placement(desired.sid, api.get(STATUS))

    def cleared(now: tuple[str, str] | None) -> bool:
        return now is not None and now[0] != ERROR

    await until_async(look, cleared, timeout_s=desired.timeout_s, poll_s=guests.POLL_S)
    api.put(resource, state=desired.state)
    return True


def _is_at_rest(api: Api, vmid: int) -> bool:
    """Whether a guest is there, stopped, and nothing works on it."""
    found = guests.find(api, vmid)
    if found is None or not found.node_online:
        return False
    now = api.get(f"{found.path}/status/current")
    return bool(now.get("status") == "stopped" and not now.get("lock"))


def is_preferred_elsewhere(desired: VerifyGuest, previous: dict[str, Any] | None) -> bool:
    """Whether it is to run, and other nodes are preferred than before; earlier versions did not remember. Pure."""
    before = (previous or {}).get("preferred", desired.preferred)
    return before != desired.preferred and desired.state == "started" and bool(desired.preferred)


async def _bring(desired: VerifyGuest, api: Api, state: str, node: str) -> bool:
    """Let HA move it to a preferred node; whether there is one that takes guests now."""
    states = api.get("/cluster/ha/status/manager_status")["manager_status"].get("node_status", {})
    targets = [name for name in desired.preferred if states.get(name) == "online"]
    if not targets:
        note(f"{desired.sid} stays on {node}: HA has none of {', '.join(desired.preferred)} online")
        return False
    note(f"HA moves {desired.sid} from {node} to {' or '.join(targets)}")
    if not desired.failback and state not in MOVING:
        api.post(f"/cluster/ha/resources/{desired.sid}/migrate", node=least_used(targets, api.get(STATUS)))
    await _arrive(desired, api, targets)
    return True


def least_used(targets: list[str], status: list[dict[str, Any]]) -> str:
    """The node with the fewest guests under HA; pure."""
    used = Counter(entry.get("node") for entry in status if entry.get("sid"))
    return min(targets, key=lambda name: (used[name], name))


async def _arrive(desired: VerifyGuest, api: Api, targets: list[str]) -> None:
    """Look until it runs there. A move may take long; until HA begins it, the time of the stack file counts."""
    moved = time.monotonic()

    async def look() -> tuple[str, str] | None:
        nonlocal moved
        seen = placement(desired.sid, api.get(STATUS))
        moved = time.monotonic() if seen is not None and seen[0] in MOVING else moved
        return seen

    def arrived(seen: tuple[str, str] | None) -> bool:
        return seen is not None and seen[0] == desired.state and seen[1] in targets

    def over(seen: tuple[str, str] | None) -> bool:
        lost = seen is None or seen[0] == ERROR
        return arrived(seen) or lost or time.monotonic() - moved >= desired.timeout_s

    seen = await until_async(look, over, timeout_s=MOVE_S, poll_s=guests.POLL_S)
    if not arrived(seen):
        raise AdminError(
            "guest-not-as-described",
            f"HA did not move guest {desired.sid} to a node that it prefers now",
            observed=" on ".join(seen) if seen else "the HA manager does not know it",
            expected=f"{desired.state} on {' or '.join(targets)}",
            fix="`journalctl -u pve-ha-crm -u pve-ha-lrm` on that node says why; then run the same command again, which tries again",
        )


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
    """A guest's HA state and node; None if HA does not know it. Pure.

    The manager calls a guest `started` as soon as it is to run. Only what the API shows beside that tells whether it does:
    `starting` until its node has said so (pve-ha-manager, Tools.pm, get_verbose_service_state).
    """
    entry = next((entry for entry in status if entry.get("sid") == sid), None)
    if entry is None:
        return None
    state = entry.get("crm_state") or entry.get("state")
    if state == "started" and entry.get("state") == STARTING:
        state = STARTING
    return str(state), str(entry.get("node"))


def fits(desired: VerifyGuest, state: str, node: str) -> bool:
    """Whether that is as described; pure."""
    return state == desired.state and (not desired.nodes or node in desired.nodes)
