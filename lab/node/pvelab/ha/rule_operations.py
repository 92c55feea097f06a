"""What users do with HA rules (PVE 9), through the API or `ha-manager rules`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab import cfs, sections
from pvelab.errors import PveError, die, parameter_error
from pvelab.ha import configuration, locking
from pvelab.ha.resource_operations import parse_sid, require_digest, split
from pvelab.sections import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = {
    "node-affinity": ("resources", "nodes", "affinity", "strict", "disable", "comment"),
    "resource-affinity": ("resources", "affinity", "disable", "comment"),
}
_REQUIRED = {"node-affinity": ("resources", "nodes"), "resource-affinity": ("resources", "affinity")}
_FLAGS = ("strict", "disable")
_NODE = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(:\d+)?")
_MIN_RESOURCES_OF_AFFINITY = 2
_BAD_REQUEST = 400


def listing(kind: str | None = None, resource: str | None = None) -> list[dict[str, Any]]:
    """All rules in order, or those of a type, or that name a resource."""
    entries = [read(name) for name in configuration.read(configuration.RULES)]
    return [
        entry
        for entry in entries
        if kind in (None, entry["type"]) and (resource is None or resource in split(entry["resources"]))
    ]


def read(name: str) -> dict[str, Any]:
    """One rule, with defaults filled in.

    Raises:
        PveError: there is none of that name.
    """
    rules = configuration.read(configuration.RULES)
    if name not in rules:
        raise die(f"no such ha rule '{name}'")
    section = rules[name]
    entry: dict[str, Any] = {
        "rule": name,
        "type": section.type,
        "order": list(rules).index(name) + 1,
        "digest": sections.digest(cfs.read(configuration.RULES)),
    }
    if section.type == "node-affinity":
        entry |= {"affinity": "positive", "strict": 0}
    for key, value in section.options.items():
        entry[key] = int(value) if key in _FLAGS else value
    return entry


def create(parameters: Mapping[str, Any]) -> None:
    """Add a rule.

    Raises:
        PveError: no quorum, the name is taken, or the rule makes no sense with the others.
    """
    cfs.require_quorum()
    kind, name = str(parameters["type"]), str(parameters["rule"])
    options = _options(kind, parameters)
    missing = [key for key in _REQUIRED[kind] if key not in options]
    if missing:
        raise parameter_error(dict.fromkeys(missing, "property is missing and it is not optional"))
    with locking.domain("create ha rule failed"):
        rules = configuration.read(configuration.RULES)
        if name in rules:
            raise die(f"HA rule '{name}' already defined")
        rules[name] = Section(kind, name, options)
        _check(rules, name)
        configuration.write(configuration.RULES, rules)


def update(parameters: Mapping[str, Any]) -> None:
    """Change a rule.

    Raises:
        PveError: as for a new one.
    """
    name = str(parameters["rule"])
    with locking.domain("update HA rules failed"):
        rules = configuration.read(configuration.RULES)
        if name not in rules:
            raise die(f"HA rule '{name}' does not exist")
        require_digest(configuration.RULES, parameters)
        rule = rules[name]
        rule.options |= _options(rule.type, parameters)
        for key in split(parameters.get("delete")):
            if key in _REQUIRED[rule.type]:
                raise die(f"unable to delete required option '{key}'")
            rule.options.pop(key, None)
        _check(rules, name)
        configuration.write(configuration.RULES, rules)


def delete(parameters: Mapping[str, Any]) -> None:
    """Remove a rule; one that is not there is fine."""
    with locking.domain("delete ha rule failed"):
        rules = configuration.read(configuration.RULES)
        rules.pop(str(parameters["rule"]), None)
        configuration.write(configuration.RULES, rules)


def _options(kind: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The rule's options, in the form in which Proxmox writes them.

    Raises:
        PveError: 400, a value has not its format.
    """
    options = {}
    for key in _OPTIONS[kind]:
        value = parameters.get(key)
        if value is None:
            continue
        if key in _FLAGS:
            options[key] = "1" if str(value).lower() in ("1", "true", "yes", "on") else "0"
        elif key == "nodes":
            options[key] = ",".join(_nodes(str(value)))
        elif key == "resources":
            options[key] = ",".join(sorted({parse_sid(entry) for entry in split(value)}))
        else:
            options[key] = str(value)
    return options


def _nodes(text: str) -> list[str]:
    entries = split(text)
    for entry in entries:
        if not _NODE.fullmatch(entry):
            raise parameter_error({"nodes": "invalid format - value does not look like a valid ha node"})
    return [entry.removesuffix(":0") for entry in sorted(entries)]


def _check(rules: Mapping[str, Section], name: str) -> None:
    """Refuse what the HA manager could not follow.

    Raises:
        PveError: unknown resources or nodes, or a contradiction to another rule.
    """
    rule = rules[name]
    sids = split(rule.options["resources"])
    configured = configuration.read(configuration.RESOURCES)
    unknown = [sid for sid in sids if sid not in configured]
    if unknown:
        raise die(f"cannot use unmanaged resource(s) {', '.join(unknown)}.")
    absent = [node for node in configuration.parse_nodes(rule.options.get("nodes", "")) if node not in cfs.members()]
    if absent:
        raise die(f"cannot use non-existent node(s) {', '.join(absent)}.")
    problems = _shared_resources(rules, name, sids) if rule.type == "node-affinity" else _too_few(sids)
    if problems and rule.options.get("disable") != "1":
        raise PveError(_BAD_REQUEST, f"Rule '{name}' is invalid.", {"resources": ", ".join(problems)})


def _shared_resources(rules: Mapping[str, Section], name: str, sids: list[str]) -> list[str]:
    taken: set[str] = set()
    for other, rule in rules.items():
        if other != name and rule.type == "node-affinity" and rule.options.get("disable") != "1":
            taken |= set(split(rule.options.get("resources")))
    return [f"resource '{sid}' is already used in another node affinity rule" for sid in sids if sid in taken]


def _too_few(sids: list[str]) -> list[str]:
    if len(sids) < _MIN_RESOURCES_OF_AFFINITY:
        return ["rule is ineffective as there are less than two resources"]
    return []
