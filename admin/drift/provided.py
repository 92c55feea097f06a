"""What the provider made, compared with the files that Proxmox VE keeps it in. Pure.

The refresh at the start of `up` puts it right; here it is only seen, without a login to any API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from onnode.pve import parse_guest_config, parse_sections, split_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Files = Mapping[str, str]

BRIDGE = "proxmoxve:network/linux/bridge:Bridge"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
HA_RESOURCE = "proxmoxve:index/haresource:Haresource"
HA_RULE = "proxmoxve:index/harule:Harule"
HA_GROUP = "proxmoxve:index/hagroup:Hagroup"
OPTIONS = "proxmoxve:cluster/options:Options"
DATACENTER = "/etc/pve/datacenter.cfg"
# What Proxmox VE takes where its file says nothing.
DEFAULTS = {"state": "started", "max_restart": "1", "max_relocate": "1", "failback": "1", "strict": "0"}
DEFAULTS |= {"restricted": "0", "nofailback": "0"}


def differs(resource: Mapping[str, Any], files: Files) -> str:
    """What is otherwise than recorded, with file and values; empty when nothing is, or nothing is known of its kind."""
    compare = _COMPARED.get(str(resource["type"]))
    return compare(resource["inputs"], files) if compare else ""


def _section(text: str, kind: str, name: str) -> dict[str, str] | None:
    return next((found.values for found in parse_sections(text) if (found.type, found.id) == (kind, name)), None)


def _compare(file: str, what: str, live: Mapping[str, str] | None, wanted: Mapping[str, str | None]) -> str:
    if live is None:
        return f"{what} is not in {file}"
    found = {key: live.get(key, DEFAULTS.get(key, "")) for key, value in wanted.items() if value is not None}
    other = [f"{key} {value or 'not set'}, not {wanted[key]}" for key, value in found.items() if value != wanted[key]]
    return f"{file}: {what}: {'; '.join(other)}" if other else ""


def _text(value: Any) -> str | None:  # noqa: ANN401 - JSON
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    return None if value is None else str(value)


def _placement(nodes: Mapping[str, Any]) -> str:
    return ",".join(sorted(f"{name}:{_text(priority)}" for name, priority in nodes.items()))


def _normal(live: Mapping[str, str] | None) -> dict[str, str] | None:
    """Lists in one order; a node without a number has priority 0."""
    if live is None:
        return None
    normal = dict(live)
    for key in ("nodes", "resources"):
        if key in normal:
            normal[key] = ",".join(sorted(part for part in re.split(r"[,; ]+", normal[key]) if part))
    return normal


def _ha_resource(inputs: Mapping[str, Any], files: Files) -> str:
    kind, _, name = str(inputs["resourceId"]).partition(":")
    live = _section(files.get("/etc/pve/ha/resources.cfg", ""), kind, name)
    wanted = {
        "state": _text(inputs.get("state")),
        "max_restart": _text(inputs.get("maxRestart")),
        "max_relocate": _text(inputs.get("maxRelocate")),
        "failback": _text(inputs.get("failback")),
        "group": _text(inputs.get("group")),
        "comment": _text(inputs.get("comment")),
    }
    return _compare("/etc/pve/ha/resources.cfg", f"HA resource {inputs['resourceId']}", live, wanted)


def _ha_rule(inputs: Mapping[str, Any], files: Files) -> str:
    live = _section(files.get("/etc/pve/ha/rules.cfg", ""), str(inputs["type"]), str(inputs["rule"]))
    wanted = {
        "resources": ",".join(sorted(map(str, inputs.get("resources") or []))),
        "nodes": _placement(inputs.get("nodes") or {}),
        "strict": _text(inputs.get("strict")),
        "comment": _text(inputs.get("comment")),
    }
    if live is not None and live.get("disable", "0") != "0":
        return f"/etc/pve/ha/rules.cfg: HA rule {inputs['rule']} is disabled"
    return _compare("/etc/pve/ha/rules.cfg", f"HA rule {inputs['rule']}", _normal(live), wanted)


def _ha_group(inputs: Mapping[str, Any], files: Files) -> str:
    live = _section(files.get("/etc/pve/ha/groups.cfg", ""), "group", str(inputs["group"]))
    wanted = {
        "nodes": _placement(inputs.get("nodes") or {}),
        "restricted": _text(inputs.get("restricted")),
        "nofailback": _text(inputs.get("noFailback")),
        "comment": _text(inputs.get("comment")),
    }
    return _compare("/etc/pve/ha/groups.cfg", f"HA group {inputs['group']}", _normal(live), wanted)


def _options(inputs: Mapping[str, Any], files: Files) -> str:
    live: dict[str, str] = {}
    for line in files.get(DATACENTER, "").splitlines():
        key, colon, value = line.partition(":")
        if colon and key in ("migration", "ha"):
            parts = dict(part.split("=", 1) for part in value.strip().split(",") if "=" in part)
            live |= {f"{key} {name}": text for name, text in parts.items()}
    wanted = {
        "migration network": _text(inputs.get("migrationCidr")),
        "migration type": _text(inputs.get("migrationType")),
        "ha shutdown_policy": _text(inputs.get("haShutdownPolicy")),
    }
    return _compare(DATACENTER, "datacenter options", live, wanted)


def _vm(inputs: Mapping[str, Any], files: Files) -> str:
    vmid = int(inputs["vmId"])
    path = next((path for path in files if path.endswith(f"/qemu-server/{vmid}.conf")), None)
    wanted = {
        "name": _text(inputs.get("name")),
        "cores": _text((inputs.get("cpu") or {}).get("cores")),
        "memory": _text((inputs.get("memory") or {}).get("dedicated")),
        "tags": ";".join(sorted(map(str.lower, inputs.get("tags") or []))) or None,
    }
    live = parse_guest_config(files[path]).values if path else None
    if live is not None:
        ours = set(split_tags(wanted["tags"]))  # further ones are the users'
        live = {**live, "tags": ";".join(sorted(ours & set(split_tags(live.get("tags")))))}
    return _compare(path or "/etc/pve", f"VM {vmid}", live, wanted)


def _bridge(inputs: Mapping[str, Any], files: Files) -> str:
    file, name = "/etc/network/interfaces", str(inputs["name"])
    found = re.search(
        rf"^iface {re.escape(name)} inet\b.*\n((?:[ \t]+.*\n|[ \t]*\n)*)", files.get(file, ""), re.MULTILINE
    )
    if found is None:
        return f"bridge {name} is not in {file}"
    lines = (line.split() for line in found[1].splitlines())
    live = {words[0]: " ".join(words[1:]) for words in lines if words}
    return _compare(file, f"bridge {name}", live, {"address": _text(inputs.get("address"))})


_COMPARED: dict[str, Callable[[Mapping[str, Any], Files], str]] = {
    HA_RESOURCE: _ha_resource,
    HA_RULE: _ha_rule,
    HA_GROUP: _ha_group,
    OPTIONS: _options,
    VM: _vm,
    BRIDGE: _bridge,
}
