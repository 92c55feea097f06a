"""ha-ready: before a guest is registered: quorum, and CRM, LRM and watchdog alive on every member (F18).

Deleted between the guest's registration and the guest itself, it waits until the HA manager has let go of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from admin import api as cluster_api
from admin import guests, members
from admin.errors import AdminError
from onnode.step import Outcome

if TYPE_CHECKING:
    from admin.desired import HaReady
    from admin.ssh import Connection
    from admin.step import Call

LOOK_S = 10.0
DEAD = "old timestamp"
UNITS = ("pve-ha-crm", "pve-ha-lrm", "watchdog-mux")
# Without the multiplexer's socket CRM and LRM die (pve-ha-manager: watchdog-mux.c).
_PROBE = f"""\
for unit in {" ".join(UNITS)}; do systemctl is-active --quiet $unit || echo $unit; done
test -S /run/watchdog-mux.sock || echo /run/watchdog-mux.sock
test -c /dev/watchdog || echo /dev/watchdog
"""


async def bring_about(desired: HaReady, call: Call) -> Outcome:
    """Look until all is ready, for a bounded time.

    Raises:
        AdminError: ha-not-ready, and those of the API.
        StepError: why a member did not answer over SSH.
    """
    await _refuse_missing(desired, call)
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    deadline = time.monotonic() + desired.timeout_s
    while amiss := problems(api.get("/cluster/ha/status/current")):
        if time.monotonic() >= deadline:
            raise AdminError(
                "ha-not-ready",
                "the HA manager is not ready",
                observed="; ".join(amiss),
                expected=f"quorum and a live agent on every member within {desired.timeout_s} s",
            )
        await asyncio.sleep(guests.POLL_S)
    return Outcome(changed=False, facts={"members": [member.name for member in desired.members]})


async def remove(desired: HaReady, call: Call) -> Outcome:
    """Wait until the HA manager has let go of the guest: until then it starts again whatever somebody stops (F15).

    Raises:
        AdminError: task-timeout, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    guests.release_from_ha(api, desired.sid)
    return Outcome(changed=False, facts={"sid": desired.sid})


async def _refuse_missing(desired: HaReady, call: Call) -> None:
    async def missing(connection: Connection) -> list[str]:
        return (await connection.run(_PROBE, timeout_s=LOOK_S)).stdout.split()

    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        answers = members.all_answered(await members.ask(opened, missing))
    if amiss := {name: absent for name, absent in answers.items() if absent}:
        raise AdminError(
            "ha-not-ready",
            "members could not run guests under HA, or not be fenced",
            observed="; ".join(f"{name} lacks {', '.join(absent)}" for name, absent in amiss.items()),
            expected=f"{', '.join(UNITS)} active, and a watchdog device, on every member",
            fix=f"on {', '.join(amiss)}: systemctl restart {' '.join(reversed(UNITS))}; journalctl -u watchdog-mux",
        )


def problems(status: list[dict[str, Any]]) -> list[str]:
    """What keeps the HA manager from taking guests; pure.

    A cluster that never had a guest under HA lists neither master nor agents: they come with the first one.
    """
    quorate = any(entry["type"] == "quorum" and int(entry.get("quorate", 0)) for entry in status)
    amiss = [] if quorate else ["no quorum"]
    return amiss + [
        f"{entry['type']} {entry['status']}"
        for entry in status
        if entry["type"] in ("master", "lrm") and DEAD in str(entry["status"])
    ]
