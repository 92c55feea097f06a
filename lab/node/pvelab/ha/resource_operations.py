"""What users do with HA resources, through the API or `ha-manager`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab import cfs, sections
from pvelab.errors import die
from pvelab.guests.registry import guests
from pvelab.ha import configuration, locking, requests, status_files
from pvelab.ha.model import State, services_of
from pvelab.sections import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = ("state", "max_restart", "max_relocate", "failback", "comment", "auto-rebalance")
_NUMBERS = ("max_restart", "max_relocate", "failback")


def parse_sid(text: str) -> str:
    """A resource's full id; a bare number is looked up among the guests.

    Raises:
        PveError: it is no id, or no guest has the number.
    """
    if text.isdigit():
        guest = guests().get(int(text))
        if guest is None:
            raise die(f"unable do add resource - VM/CT {text} does not exist")
        return guest.ha_sid
    if not re.fullmatch(r"(vm|ct):[1-9]\d*", text):
        raise die(f"unable to parse service id '{text}'")
    return text


def listing(kind: str | None = None) -> list[dict[str, Any]]:
    """All resources, or those of a type."""
    entries = [read(sid) for sid in configuration.read(configuration.RESOURCES)]
    return [entry for entry in entries if kind in (None, entry["type"])]


def read(text: str) -> dict[str, Any]:
    """One resource's configuration, as it is written.

    Raises:
        PveError: it is not configured.
    """
    sid = parse_sid(text)
    section = configuration.read(configuration.RESOURCES).get(sid)
    if section is None:
        raise die(f"no such resource '{sid}'")
    entry: dict[str, Any] = {
        "sid": sid,
        "type": section.type,
        "digest": sections.digest(cfs.read(configuration.RESOURCES)),
    }
    for key, value in section.options.items():
        entry[key] = int(value) if key in _NUMBERS else value
    return entry


def create(parameters: Mapping[str, Any]) -> None:
    """Put a guest under HA.

    Raises:
        PveError: no quorum, no such guest, or it is a resource already.
    """
    cfs.require_quorum()
    sid = parse_sid(str(parameters["sid"]))
    kind, _, number = sid.partition(":")
    if parameters.get("type") not in (None, kind):
        raise die("types does not match")
    guest = guests().get(int(number))
    if guest is None or guest.ha_sid != sid:
        raise die(f"resource '{sid}' does not exist in cluster")
    _refuse_group(parameters)
    with locking.domain("create resource failed"):
        known = configuration.read(configuration.RESOURCES)
        if sid in known:
            raise die(f"resource ID '{sid}' already defined")
        known[sid] = Section(kind, number, _options(parameters))
        configuration.write(configuration.RESOURCES, known)


def update(parameters: Mapping[str, Any]) -> None:
    """Change a resource's configuration.

    Raises:
        PveError: it is not configured, or in the error state that only `disabled` ends.
    """
    sid = parse_sid(str(parameters["sid"]))
    _refuse_group(parameters)
    _refuse_in_error(sid, parameters.get("state"))
    with locking.domain("update resource failed"):
        known = configuration.read(configuration.RESOURCES)
        if sid not in known:
            raise die(f"no such resource '{sid}'")
        require_digest(configuration.RESOURCES, parameters)
        known[sid].options |= _options(parameters)
        for key in split(parameters.get("delete")):
            if key not in _OPTIONS:
                raise die(f"no such option '{key}'")
            known[sid].options.pop(key, None)
        configuration.write(configuration.RESOURCES, known)


def delete(parameters: Mapping[str, Any]) -> None:
    """Take a guest out of HA; it goes on as it is. Rules that name it lose it, unless `purge` is switched off.

    Raises:
        PveError: it is not under HA.
    """
    sid = parse_sid(str(parameters["sid"]))
    with locking.domain("delete resource failed"):
        known = configuration.read(configuration.RESOURCES)
        if known.pop(sid, None) is None:
            raise die(f"cannot delete service '{sid}', not HA managed!")
        configuration.write(configuration.RESOURCES, known)
        if parameters.get("purge") not in (0, "0", False):
            _forget_in_rules(sid)


def _forget_in_rules(sid: str) -> None:
    rules = configuration.read(configuration.RULES)
    changed = {name: rule for name, rule in rules.items() if sid in split(rule.options.get("resources"))}
    for name, rule in changed.items():
        left = [other for other in split(rule.options.get("resources")) if other != sid]
        if left:
            rule.options["resources"] = ",".join(left)
        else:
            del rules[name]
    if changed:
        configuration.write(configuration.RULES, rules)


def move(verb: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Ask the CRM to `migrate` or `relocate` a resource; whether it does so is seen in the status.

    Raises:
        PveError: not under HA, or in the error state.
    """
    sid = parse_sid(str(parameters["sid"]))
    require_managed(sid)
    _refuse_in_error(sid, None)
    requests.queue(f"{verb} {sid} {parameters['node']}")
    return {"sid": sid, "requested-node": str(parameters["node"])}


def require_managed(sid: str) -> None:
    """Refuse a resource that is not configured, or to be ignored.

    Raises:
        PveError: so it is.
    """
    section = configuration.read(configuration.RESOURCES).get(sid)
    if section is None or section.options.get("state") == "ignored":
        raise die(f"resource '{sid}' is not HA managed")


def _refuse_in_error(sid: str, wanted: object) -> None:
    service = services_of(status_files.read(status_files.MANAGER)).get(sid)
    if service is not None and service.state is State.ERROR and wanted != "disabled":
        raise die(f"service '{sid}' in error state, must be disabled and fixed first")


def _refuse_group(parameters: Mapping[str, Any]) -> None:
    if parameters.get("group") is not None:
        raise die("invalid parameter 'group': ha groups have been migrated to rules")


def _options(parameters: Mapping[str, Any]) -> dict[str, str]:
    given = {key: parameters[key] for key in _OPTIONS if parameters.get(key) is not None}
    options = {key: str(int(value)) if isinstance(value, bool) else str(value) for key, value in given.items()}
    if options.get("state") == "enabled":
        options["state"] = "started"
    return options


def split(value: object) -> list[str]:
    """The entries of a list option."""
    return [part for part in re.split(r"[,;\s]+", str(value or "")) if part]


def require_digest(relative: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a change of a file that is not as the user saw it.

    Raises:
        PveError: somebody else changed it.
    """
    expected = parameters.get("digest")
    if expected and expected != sections.digest(cfs.read(relative)):
        raise die("detected modified configuration - file changed by other user? Try again.")
