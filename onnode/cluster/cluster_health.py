"""cluster-health: all that `status` shows of one node, as this node sees it. Changes nothing, and waits for no lock.

It works on a node in any state; what cannot be found out is null, never left out.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from onnode.cluster import membership
from onnode.contract.documents import document
from onnode.contract.health import GuestStatus, Ha, HaService, Health, Kernel, Watchdog
from onnode.errors import StepError
from onnode.step import Step, act_never, decide_nothing
from onnode.system import kernel, lock, pve, systemd

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.system.machine import ThisMachine

T = TypeVar("T")

API_S = 20.0
# The device, and watchdog-mux' socket and mark of having clients (watchdog-mux.c): what Watchdog tells of, in its order.
WATCHDOG = ("/dev/watchdog", "/run/watchdog-mux.sock", "/run/watchdog-mux.active")
SERVICES = ["corosync", "pve-cluster", "pveproxy", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"]


def parse_ha(text: str) -> Ha:
    """Read `pvesh get /cluster/ha/status/current`: the HA manager's master, its node agents, its resources."""
    entries: list[dict[str, Any]] = json.loads(text)
    return Ha(
        next((entry["node"] for entry in entries if entry["type"] == "master"), None),
        {entry["node"]: _lrm_state(entry.get("status", "")) for entry in entries if entry["type"] == "lrm"},
        {
            entry["sid"]: HaService(entry.get("node"), entry.get("crm_state") or entry.get("state"))
            for entry in entries
            if entry["type"] == "service"
        },
    )


def _lrm_state(status: str) -> str:
    """From `pve1 (active, watchdog active, Sat …)` the first word in brackets; from `… (old timestamp - dead?…)`, too."""
    inside = status.partition("(")[2]
    return inside.partition(",")[0].rstrip(")").strip() or "unknown"


def parse_guests(text: str) -> dict[str, list[GuestStatus]]:
    """Read `pvesh get /cluster/resources --type vm`: the guests of each node."""
    entries: list[dict[str, Any]] = json.loads(text)
    found: dict[str, list[GuestStatus]] = {}
    for entry in sorted(entries, key=lambda entry: int(entry["vmid"])):
        guest = GuestStatus(
            id=entry["vmid"],
            type=entry["type"],
            name=entry.get("name"),
            status=entry.get("status", "unknown"),
            template=bool(entry.get("template")),
            ha=entry.get("hastate"),
        )
        found.setdefault(str(entry.get("node")), []).append(guest)
    return found


def observe(machine: ThisMachine, _desired: None) -> Health:
    """Look at everything at once."""
    with ThreadPoolExecutor() as pool:
        ha = pool.submit(_ask, machine, parse_ha, "/cluster/ha/status/current")
        guests = pool.submit(_ask, machine, parse_guests, "/cluster/resources", "--type", "vm")
        member = pool.submit(membership.observe, machine)
        told = membership.told(member.result())
        seen = kernel.observe(machine)
        there = guests.result()
        return Health(
            **vars(told),
            pve_version=pve.version(machine).manager,
            kernel=Kernel(seen.running, seen.newest, seen.reboot_missing),
            services={name: unit.active == "active" for name, unit in systemd.units(machine, SERVICES).items()},
            watchdog=Watchdog(*map(machine.exists, WATCHDOG)),
            busy=lock.holder(machine),
            time=machine.time(),
            ha=ha.result(),
            running_guests=None if there is None else there.get(told.node, []),
        )


def _ask(machine: ThisMachine, parse: Callable[[str], T], *arguments: str) -> T | None:
    """Ask the local API; None if it gives no answer."""
    argv = ["pvesh", "get", *arguments, "--output-format", "json"]
    try:
        return parse(machine.check(argv, timeout_s=API_S))
    except (StepError, ValueError, KeyError):
        return None


def facts(seen: Health, _desired: None) -> dict[str, Any]:
    """All that was seen."""
    return document(seen)


def unchanged(seen: Health, _desired: None) -> str:
    """Say what was found."""
    return f"{seen.node}: {seen.state}, {'quorate' if seen.quorate else 'not quorate'}"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="none")
