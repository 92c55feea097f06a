"""`ha-manager`: resources, rules and groups of the HA manager; it runs in-process, so its exit codes mean something."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pvelab.api.errors import PveError, die
from pvelab.cli import options
from pvelab.ha import group_operations, requests, resource_operations, rule_operations, status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_RESOURCE = {
    "auto-rebalance": True,
    "comment": False,
    "failback": True,
    "group": False,
    "max_relocate": False,
    "max_restart": False,
    "state": False,
}
_GROUP = {"comment": False, "nodes": False, "nofailback": True, "restricted": True}
_RULE = {"affinity": False, "comment": False, "disable": True, "nodes": False, "resources": False, "strict": True}
_CHANGE = {"delete": False, "digest": False}
_FORMAT = {"output-format": False}
# Command: names of its arguments, its options (True: may stand without a value), API method and path for its checks.
_COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, bool], str]] = {
    "add": (("sid",), {**_RESOURCE, "type": False}, "POST /cluster/ha/resources"),
    "config": ((), {"type": False}, ""),
    "crm-command migrate": (("sid", "node"), {}, ""),
    "crm-command relocate": (("sid", "node"), {}, ""),
    "crm-command stop": (("sid", "timeout"), {}, ""),
    "groupadd": (("group",), _GROUP, ""),
    "groupconfig": ((), {}, ""),
    "groupremove": (("group",), {}, ""),
    "groupset": (("group",), {**_GROUP, **_CHANGE}, ""),
    "migrate": (("sid", "node"), {}, ""),
    "relocate": (("sid", "node"), {}, ""),
    "remove": (("sid",), {"purge": True}, ""),
    "rules add": (("type", "rule"), _RULE, ""),
    "rules config": ((), {"type": False, "resource": False, **_FORMAT}, ""),
    "rules list": ((), {"type": False, "resource": False, **_FORMAT}, ""),
    "rules remove": (("rule",), {}, ""),
    "rules set": (("type", "rule"), {**_RULE, **_CHANGE}, ""),
    "set": (("sid",), {**_RESOURCE, **_CHANGE}, "PUT /cluster/ha/resources/{sid}"),
    "status": ((), {"verbose": True}, ""),
}
_BAD_REQUEST = 400
_UNKNOWN = 255


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code is Proxmox'."""
    words = 2 if arguments[:1] in (["rules"], ["crm-command"]) else 1
    command = " ".join(arguments[:words])
    if command not in _COMMANDS:
        given = f"ERROR: unknown command 'ha-manager {command}'" if command else "ERROR: no command specified"
        usage = "\n".join(f"       {_usage(name)}" for name in _COMMANDS)
        options.usage_failure(given, f"USAGE: ha-manager <COMMAND> [ARGS] [OPTIONS]\n{usage}")
    positional, known, schema_of = _COMMANDS[command]
    try:
        parameters = options.parse(arguments[words:], positional, known)
        _HANDLERS[command](_validated(schema_of, parameters))
    except options.OptionError as error:
        options.usage_failure(str(error), _usage(command))
    except PveError as error:
        if error.status == _BAD_REQUEST and error.errors:
            lines = "\n".join(f"{name}: {text}" for name, text in sorted(error.errors.items()))
            options.usage_failure(f"400 {error.message}\n{lines}", _usage(command))
        sys.stderr.write(f"{error.message}\n")
        return _UNKNOWN
    return 0


def _usage(command: str) -> str:
    positional, known, _ = _COMMANDS[command]
    words = ["ha-manager", command, *(f"<{name}>" for name in positional)]
    return " ".join([*words, "[OPTIONS]"] if known else words)


def _validated(schema_of: str, parameters: dict[str, str]) -> dict[str, Any]:
    if not schema_of:
        return dict(parameters)
    # Its import takes a third of a second, which most commands need not wait for.
    from fakepve import schema  # noqa: PLC0415

    method, path = schema_of.split()
    values, errors = schema.validate(schema.load().paths[path][method]["parameters"], parameters)
    if errors:
        cleaned = {name: text.rstrip("\n") for name, text in errors.items()}
        raise PveError(_BAD_REQUEST, "Parameter verification failed.", cleaned)
    return dict(values)


def _status(parameters: Mapping[str, Any]) -> None:
    for entry in status.current():
        _print(f"{entry['type']} {entry['status']}")
    if options.is_set(parameters, "verbose"):
        _print("full cluster state:")
        _print(json.dumps(status.manager_status(), indent=3, sort_keys=True))


def _config(parameters: Mapping[str, Any]) -> None:
    for entry in sorted(resource_operations.listing(parameters.get("type")), key=lambda entry: str(entry["sid"])):
        _print_record(str(entry["sid"]), entry, ("digest", "sid", "type"))


def _group_config(parameters: Mapping[str, Any]) -> None:  # noqa: ARG001 - a handler's signature
    for entry in sorted(group_operations.listing(), key=lambda entry: str(entry["group"])):
        _print_record(f"group: {entry['group']}", entry, ("digest", "group", "type"))


def _print_record(title: str, entry: Mapping[str, Any], hidden: Sequence[str]) -> None:
    _print(title)
    for key in sorted(entry):
        if key not in hidden:
            _print(f"\t{key} {entry[key]}")
    _print("")


def _rules(parameters: Mapping[str, Any]) -> None:
    entries = rule_operations.listing(parameters.get("type"), parameters.get("resource"))
    if str(parameters.get("output-format", "")).startswith("json"):
        _print(json.dumps(entries))
        return
    for entry in entries:
        _print_record(f"{entry['type']}: {entry['rule']}", entry, ("digest", "rule", "type"))


def _set_rule(parameters: Mapping[str, Any]) -> None:
    if rule_operations.read(str(parameters["rule"]))["type"] != parameters["type"]:
        raise die("types does not match")
    rule_operations.update(parameters)


def _add_rule(parameters: Mapping[str, Any]) -> None:
    if parameters["type"] not in ("node-affinity", "resource-affinity"):
        text = (
            f"value '{parameters['type']}' does not have a value in the enumeration 'node-affinity, resource-affinity'"
        )
        raise PveError(_BAD_REQUEST, "Parameter verification failed.", {"type": text})
    rule_operations.create(parameters)


def _stop(parameters: Mapping[str, Any]) -> None:
    sid = resource_operations.parse_sid(str(parameters["sid"]))
    resource_operations.require_managed(sid)
    requests.queue(f"stop {sid} {parameters['timeout']}")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


_HANDLERS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "add": resource_operations.create,
    "config": _config,
    "crm-command migrate": lambda parameters: resource_operations.move("migrate", parameters),
    "crm-command relocate": lambda parameters: resource_operations.move("relocate", parameters),
    "crm-command stop": _stop,
    "groupadd": group_operations.create,
    "groupconfig": _group_config,
    "groupremove": group_operations.delete,
    "groupset": group_operations.update,
    "migrate": lambda parameters: resource_operations.move("migrate", parameters),
    "relocate": lambda parameters: resource_operations.move("relocate", parameters),
    "remove": resource_operations.delete,
    "rules add": _add_rule,
    "rules config": _rules,
    "rules list": _rules,
    "rules remove": rule_operations.delete,
    "rules set": _set_rule,
    "set": resource_operations.update,
    "status": _status,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
