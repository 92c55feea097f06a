"""cluster-health: all that `status` shows of one node, as this node sees it. Changes nothing, and waits for no lock.

It works on a node in any state; what cannot be found out is null, never left out.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.errors import StepError
from onnode.step import Step, act_never, decide_nothing
from onnode.system import kernel, lock, pve, systemd

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.system.machine import Machine

API_S = 20.0
SERVICES = ["corosync", "pve-cluster", "pveproxy", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"]
Json = dict[str, Any]


def parse_ha(text: str) -> Json:
    """Read `pvesh get /cluster/ha/status/current`: the HA manager's master, its node agents, its resources."""
    entries: list[Json] = json.loads(text)
    return {
        "master": next((entry["node"] for entry in entries if entry["type"] == "master"), None),
        "lrm": {entry["node"]: _lrm_state(entry.get("status", "")) for entry in entries if entry["type"] == "lrm"},
        "services": {
            entry["sid"]: {"node": entry.get("node"), "state": entry.get("crm_state") or entry.get("state")}
            for entry in entries
            if entry["type"] == "service"
        },
    }


def _lrm_state(status: str) -> str:
    """From `pve1 (active, watchdog active, Sat …)` the first word in brackets; from `… (old timestamp - dead?…)`, too."""
    inside = status.partition("(")[2]
    return inside.partition(",")[0].rstrip(")").strip() or "unknown"


def parse_guests(text: str, node: str) -> list[Json]:
    """Read `pvesh get /cluster/resources --type vm`: the guests of one node."""
    entries: list[Json] = json.loads(text)
    return sorted(
        (
            {
                "id": entry["vmid"],
                "type": entry["type"],
                "name": entry.get("name"),
                "status": entry.get("status", "unknown"),
                "template": bool(entry.get("template")),
                "ha": entry.get("hastate"),
            }
            for entry in entries
            if entry.get("node") == node
        ),
        key=lambda guest: int(guest["id"]),
    )


def observe(machine: Machine, _desired: None) -> Json:
    """Look at everything at once."""
    with ThreadPoolExecutor() as pool:
        ha = pool.submit(_ask, machine, parse_ha, "/cluster/ha/status/current")
        resources = pool.submit(_ask, machine, json.loads, "/cluster/resources", "--type", "vm")
        member = pool.submit(membership.observe, machine)
        return {
            **membership.facts(member.result()),
            "pve_version": pve.version(machine).manager,
            "kernel": _kernel(kernel.observe(machine)),
            "services": {name: unit.active == "active" for name, unit in systemd.units(machine, SERVICES).items()},
            "watchdog": {"device": machine.exists("/dev/watchdog"), "socket": machine.exists("/run/watchdog-mux.sock")},
            "busy": lock.holder(machine),
            "time": machine.time(),
            "ha": ha.result(),
            "running_guests": _of_node(resources.result(), member.result().node),
        }


def _ask(machine: Machine, parse: Callable[[str], Any], *arguments: str) -> Any:  # noqa: ANN401 - what the parser makes
    """Ask the local API; None if it gives no answer."""
    argv = ["pvesh", "get", *arguments, "--output-format", "json"]
    try:
        return parse(machine.check(argv, timeout_s=API_S))
    except (StepError, ValueError, KeyError):
        return None


def _of_node(resources: list[Json] | None, node: str) -> list[Json] | None:
    return None if resources is None else parse_guests(json.dumps(resources), node)


def _kernel(found: kernel.Observed) -> Json:
    return {"running": found.running, "newest": found.newest, "reboot_missing": found.reboot_missing}


def facts(seen: Json, _desired: None) -> Json:
    """All that was seen."""
    return seen


def unchanged(seen: Json, _desired: None) -> str:
    """Say what was found."""
    return f"{seen['node']}: {seen['state']}, {'quorate' if seen['quorate'] else 'not quorate'}"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="none")
