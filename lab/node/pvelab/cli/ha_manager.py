"""`ha-manager`: resources and rules of the HA manager; it runs in-process, so its exit codes mean something."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.cli import options
from pvelab.cli.tool import Command, main, report, write
from pvelab.errors import PveError, die
from pvelab.ha import requests, resource_operations, status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RESOURCES = "/cluster/ha/resources"
_RESOURCE = f"{_RESOURCES}/{{sid}}"
_RULES = "/cluster/ha/rules"
_GROUPS = "/cluster/ha/groups"
_CURRENT = "/cluster/ha/status/current"
_HIDDEN = ("digest", "errors", "rule", "sid", "type")


def _show_status(entries: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    for entry in entries:
        write(f"{entry['type']} {entry['status']}")


def _show_records(entries: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    titled = {str(entry.get("sid") or entry["rule"]): entry for entry in entries}
    for title, entry in sorted(titled.items()):
        write(title if "sid" in entry else f"{entry['type']}: {title}")
        for key in sorted(entry):
            if key not in _HIDDEN:
                write(f"\t{key} {entry[key]}")
        write("")


_MIGRATE = Command("POST", f"{_RESOURCE}/migrate", ("sid", "node"))
_RELOCATE = Command("POST", f"{_RESOURCE}/relocate", ("sid", "node"))
_LIST_RULES = Command("GET", _RULES, show=_show_records)
COMMANDS = {
    "status": Command("GET", _CURRENT, show=_show_status),
    "config": Command("GET", _RESOURCES, show=_show_records),
    "add": Command("POST", _RESOURCES, ("sid",)),
    "set": Command("PUT", _RESOURCE, ("sid",)),
    "remove": Command("DELETE", _RESOURCE, ("sid",)),
    "migrate": _MIGRATE,
    "relocate": _RELOCATE,
    "crm-command migrate": _MIGRATE,
    "crm-command relocate": _RELOCATE,
    "rules list": _LIST_RULES,
    "rules config": _LIST_RULES,
    "rules add": Command("POST", _RULES, ("type", "rule")),
    "rules set": Command("PUT", f"{_RULES}/{{rule}}", ("type", "rule")),
    "rules remove": Command("DELETE", f"{_RULES}/{{rule}}", ("rule",)),
    "groupconfig": Command("GET", _GROUPS),
    "groupadd": Command("POST", _GROUPS, ("group",)),
    "groupset": Command("PUT", f"{_GROUPS}/{{group}}", ("group",)),
    "groupremove": Command("DELETE", f"{_GROUPS}/{{group}}", ("group",)),
}


def stop(arguments: Sequence[str]) -> int:
    """`crm-command stop`, which the API does not have: ask for a stop whose timeout is in seconds."""
    usage = "ha-manager crm-command stop <sid> <timeout>"
    try:
        given = options.parse(arguments, ("sid", "timeout"), {})
        sid = resource_operations.parse_sid(given["sid"])
        resource_operations.require_managed(sid)
        requests.queue(f"stop {sid} {given['timeout']}")
    except options.OptionError as error:
        options.usage_failure(str(error), usage)
    except PveError as error:
        return report(error, usage)
    return 0


def set_maintenance(arguments: Sequence[str], how: str) -> int:
    """`crm-command node-maintenance enable|disable`, which the API does not have, either."""
    usage = f"ha-manager crm-command node-maintenance {how} <node>"
    try:
        node = options.parse(arguments, ("node",), {})["node"]
        if node not in cfs.members():
            raise die(f"no such cluster node '{node}'")
        requests.queue(f"{how}-node-maintenance {node}")
    except options.OptionError as error:
        options.usage_failure(str(error), usage)
    except PveError as error:
        return report(error, usage)
    return 0


def full_status() -> int:
    """`status --verbose`: the usual lines, then everything that CRM and LRMs published."""
    code = main("ha-manager", COMMANDS, ["status"])
    write("full cluster state:")
    write(json.dumps(status.manager_status(), indent=3, sort_keys=True))
    return code


if __name__ == "__main__":
    given = sys.argv[1:]
    match given:
        case ["crm-command", "stop", *arguments]:
            sys.exit(stop(arguments))
        case ["crm-command", "node-maintenance", "enable" | "disable" as how, *arguments]:
            sys.exit(set_maintenance(arguments, how))
        case ["status", *flags] if set(flags) & {"--verbose", "-verbose", "-v"}:
            sys.exit(full_status())
    sys.exit(main("ha-manager", COMMANDS, given))
