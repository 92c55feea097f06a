"""What the provider made, compared with the files that Proxmox VE keeps it in. Pure.

The refresh at the start of `up` puts it right; here it is only seen, without a login to any API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cli.drift import bridge, images, virtual_machine
from cli.drift.comparing import Difference, compare, text
from components.recorded import BRIDGE_TYPE, FILE_TYPE, GROUP_TYPE, OPTIONS_TYPE, RESOURCE_TYPE, RULE_TYPE, VM_TYPE
from onnode.system.pve import parse_sections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Files = Mapping[str, str]

DATACENTER = "/etc/pve/datacenter.cfg"
# What Proxmox VE takes where its file says nothing.
DEFAULTS = {"state": "started", "max_restart": "1", "max_relocate": "1", "failback": "1", "strict": "0"}
DEFAULTS |= {"restricted": "0", "nofailback": "0"}


def differs(resource: Mapping[str, Any], files: Files) -> Difference | None:
    """The difference from the record; None when there is none, or resources of this type cannot be compared."""
    kind = str(resource["type"])
    if kind == FILE_TYPE:
        return images.differs(resource["inputs"], resource.get("outputs") or {}, files)
    judge = _COMPARED.get(kind)
    return judge(resource["inputs"], files) if judge else None


def added(resource: Mapping[str, Any], files: Files) -> list[Difference]:
    """What a user added to a VM; it stays."""
    return virtual_machine.added(resource["inputs"], files) if resource["type"] == VM_TYPE else []


def _section(file: str, kind: str, name: str) -> dict[str, str] | None:
    return next((found.values for found in parse_sections(file) if (found.type, found.id) == (kind, name)), None)


def _placement(nodes: Mapping[str, Any]) -> str:
    return ",".join(sorted(f"{name}:{text(priority)}" for name, priority in nodes.items()))


def _normal(live: Mapping[str, str] | None) -> dict[str, str] | None:
    """Lists in one order."""
    if live is None:
        return None
    normal = dict(live)
    for key in ("nodes", "resources"):
        if key in normal:
            normal[key] = ",".join(sorted(part for part in re.split(r"[,; ]+", normal[key]) if part))
    return normal


def _ha_resource(inputs: Mapping[str, Any], files: Files) -> Difference | None:
    kind, _, name = str(inputs["resourceId"]).partition(":")
    live = _section(files.get("/etc/pve/ha/resources.cfg", ""), kind, name)
    wanted = {
        "state": text(inputs.get("state")),
        "max_restart": text(inputs.get("maxRestart")),
        "max_relocate": text(inputs.get("maxRelocate")),
        "failback": text(inputs.get("failback")),
        "group": text(inputs.get("group")),
        "comment": text(inputs.get("comment")),
    }
    return compare("/etc/pve/ha/resources.cfg", f"HA resource {inputs['resourceId']}", live, wanted, DEFAULTS)


def _ha_rule(inputs: Mapping[str, Any], files: Files) -> Difference | None:
    live = _section(files.get("/etc/pve/ha/rules.cfg", ""), str(inputs["type"]), str(inputs["rule"]))
    wanted = {
        "resources": ",".join(sorted(map(str, inputs.get("resources") or []))),
        "nodes": _placement(inputs.get("nodes") or {}),
        "strict": text(inputs.get("strict")),
        "comment": text(inputs.get("comment")),
    }
    if live is not None and live.get("disable", "0") != "0":
        return Difference(f"/etc/pve/ha/rules.cfg: HA rule {inputs['rule']} is disabled")
    return compare("/etc/pve/ha/rules.cfg", f"HA rule {inputs['rule']}", _normal(live), wanted, DEFAULTS)


def _ha_group(inputs: Mapping[str, Any], files: Files) -> Difference | None:
    live = _section(files.get("/etc/pve/ha/groups.cfg", ""), "group", str(inputs["group"]))
    wanted = {
        "nodes": _placement(inputs.get("nodes") or {}),
        "restricted": text(inputs.get("restricted")),
        "nofailback": text(inputs.get("noFailback")),
        "comment": text(inputs.get("comment")),
    }
    return compare("/etc/pve/ha/groups.cfg", f"HA group {inputs['group']}", _normal(live), wanted, DEFAULTS)


def _options(inputs: Mapping[str, Any], files: Files) -> Difference | None:
    live: dict[str, str] = {}
    for line in files.get(DATACENTER, "").splitlines():
        key, colon, value = line.partition(":")
        if colon and key in ("migration", "ha"):
            parts = dict(part.split("=", 1) for part in value.strip().split(",") if "=" in part)
            live |= {f"{key} {name}": text for name, text in parts.items()}
    wanted = {
        "migration network": text(inputs.get("migrationCidr")),
        "migration type": text(inputs.get("migrationType")),
        "ha shutdown_policy": text(inputs.get("haShutdownPolicy")),
    }
    return compare(DATACENTER, "datacenter options", live, wanted, DEFAULTS)


_COMPARED: dict[str, Callable[[Mapping[str, Any], Files], Difference | None]] = {
    RESOURCE_TYPE: _ha_resource,
    RULE_TYPE: _ha_rule,
    GROUP_TYPE: _ha_group,
    OPTIONS_TYPE: _options,
    VM_TYPE: virtual_machine.differs,
    BRIDGE_TYPE: bridge.differs,
}
