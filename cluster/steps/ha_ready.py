"""ha-ready: before a guest is registered: quorum, and CRM, LRM and watchdog alive on every member (F18).

Deleted between the guest's registration and the guest itself, it waits until the HA manager has let go of it.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from cluster import guests
from cluster.errors import AdminError
from cluster.transport import cluster_api, members
from cluster.waiting import until_async
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import HaReady
    from cluster.transport.ssh import Connection

LOOK_S = 10.0
DEAD = "old timestamp"
MODULE = "module="
DEFAULT_MODULE = "softdog"  # what watchdog-mux loads when its settings name none
UNITS = ("pve-ha-crm", "pve-ha-lrm", "watchdog-mux")
# Without the multiplexer's socket CRM and LRM die (pve-ha-manager: watchdog-mux.c).
_PROBE = f"""\
for unit in {" ".join(UNITS)}; do systemctl is-active --quiet $unit || echo $unit; done
test -S /run/watchdog-mux.sock || echo /run/watchdog-mux.sock
test -c /dev/watchdog || echo /dev/watchdog
echo "{MODULE}$(sed -n 's/^WATCHDOG_MODULE=//p' /etc/default/pve-ha-manager 2>/dev/null | tail -n 1)"
"""


async def bring_about(desired: HaReady, call: Call) -> Outcome:
    """Look until all is ready, for a bounded time.

    Raises:
        AdminError: ha-not-ready, watchdog-differs, and those of the API.
        StepError: why a member did not answer over SSH.
    """
    found = await _look(desired, call)
    refuse_missing(found)
    refuse_other_watchdogs(found, desired.watchdogs)
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)

    async def look() -> list[str]:
        return problems(api.get("/cluster/ha/status/current"))

    ready = operator.not_
    if amiss := await until_async(look, ready, timeout_s=desired.timeout_s, poll_s=guests.POLL_S):
        raise AdminError(
            "ha-not-ready",
            "the HA manager is not ready",
            observed="; ".join(amiss),
            expected=f"quorum and a live agent on every member within {desired.timeout_s} s",
        )
    return Outcome(changed=False, facts={"members": [member.name for member in desired.members]})


async def remove(desired: HaReady, call: Call) -> Outcome:
    """Wait until the HA manager no longer manages the guest: until then it restarts a stopped guest (F15).

    Raises:
        AdminError: guest-foreign, task-timeout, and those of the API.
    """
    api = await cluster_api.connect(desired.members, desired.api, call.secrets)
    # The guest itself goes right after this: the last check of its owner.
    kind, _, vmid = desired.sid.partition(":")
    found = guests.find(api, int(vmid)) if desired.stack_tag else None
    if found is not None and not guests.is_ours(found, desired.stack_tag):
        if kind == "vm":
            guests.refuse_foreign(found, "qemu", desired.stack_tag)
        return Outcome(changed=False, facts={"sid": desired.sid})
    # Our own guest goes, however it was registered; without one, the registration may be somebody else's.
    guests.release_from_ha(api, desired.sid, desired.stack_tag if found is None else "")
    return Outcome(changed=False, facts={"sid": desired.sid})


async def _look(desired: HaReady, call: Call) -> dict[str, list[str]]:
    async def ask(connection: Connection) -> list[str]:
        return (await connection.run(_PROBE, timeout_s=LOOK_S)).stdout.splitlines()

    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        return members.all_answered(await members.ask(opened, ask))


def refuse_missing(found: dict[str, list[str]]) -> None:
    """Refuse members without what HA needs; pure.

    Args:
        found: by member, what it lacks, and `module=` with its watchdog's module.

    Raises:
        AdminError: ha-not-ready.
    """
    lacking = {name: [word for word in words if not word.startswith(MODULE)] for name, words in found.items()}
    if amiss := {name: absent for name, absent in lacking.items() if absent}:
        raise AdminError(
            "ha-not-ready",
            "some members cannot run guests under HA, or cannot be fenced",
            observed="; ".join(f"{name} lacks {', '.join(absent)}" for name, absent in amiss.items()),
            expected=f"{', '.join(UNITS)} active, and a watchdog device, on every member",
            fix=f"on {', '.join(amiss)}: systemctl restart {' '.join(reversed(UNITS))}; journalctl -u watchdog-mux",
        )


def refuse_other_watchdogs(found: dict[str, list[str]], wanted: dict[str, str]) -> None:
    """Refuse members that are fenced by another watchdog than described: the design was judged with that one; pure.

    Raises:
        AdminError: watchdog-differs.
    """
    modules = {
        name: _module(next((word.removeprefix(MODULE) for word in words if word.startswith(MODULE)), ""))
        for name, words in found.items()
    }
    if differing := {name: module for name, module in modules.items() if module != wanted[name]}:
        raise AdminError(
            "watchdog-differs",
            "the HA manager of a member uses another watchdog than described",
            observed="; ".join(f"{name} uses {module}" for name, module in differing.items()),
            expected="; ".join(f"{name} {wanted[name]}" for name in differing),
        )


def _module(setting: str) -> str:
    """The module that modprobe gets: parameters may stand behind it, quotes around it, and `-` is `_`."""
    words = setting.strip("\"' ").split()
    return words[0].replace("-", "_") if words else DEFAULT_MODULE


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
