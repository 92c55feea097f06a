"""What users do with HA groups, which PVE 9 migrated to rules and refuses ever since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs, sections
from pvelab.errors import die
from pvelab.ha import configuration, locking
from pvelab.ha.resource_operations import require_digest, split
from pvelab.sections import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = ("nodes", "restricted", "nofailback", "comment")
_FLAGS = ("restricted", "nofailback")


def _require_groups(what: str) -> None:
    if configuration.has_rules():
        raise die(f"cannot {what}: ha groups have been migrated to rules")


def listing() -> list[dict[str, Any]]:
    """All groups.

    Raises:
        PveError: on PVE 9.
    """
    _require_groups("index groups")
    return [_entry(section) for section in configuration.read(configuration.GROUPS).values()]


def read(name: str) -> dict[str, Any]:
    """One group.

    Raises:
        PveError: there is none, or on PVE 9.
    """
    _require_groups("read group")
    groups = configuration.read(configuration.GROUPS)
    if name not in groups:
        raise die(f"no such ha group '{name}'")
    return _entry(groups[name])


def _entry(section: Section) -> dict[str, Any]:
    entry: dict[str, Any] = {"group": section.id, "type": section.type}
    entry["digest"] = sections.digest(cfs.read(configuration.GROUPS))
    for key, value in section.options.items():
        entry[key] = int(value) if key in _FLAGS else value
    return entry


def create(parameters: Mapping[str, Any]) -> None:
    """Add a group.

    Raises:
        PveError: its name is taken, there is no quorum, or on PVE 9.
    """
    _require_groups("create group")
    cfs.require_quorum()
    name = str(parameters["group"])
    with locking.domain("create ha group failed"):
        groups = configuration.read(configuration.GROUPS)
        if name in groups:
            raise die(f"ha group ID '{name}' already defined")
        groups[name] = Section("group", name, _options(parameters))
        configuration.write(configuration.GROUPS, groups)


def update(parameters: Mapping[str, Any]) -> None:
    """Change a group.

    Raises:
        PveError: there is none, or on PVE 9.
    """
    _require_groups("update group")
    name = str(parameters["group"])
    with locking.domain("update ha group failed"):
        groups = configuration.read(configuration.GROUPS)
        if name not in groups:
            raise die(f"no such ha group '{name}'")
        require_digest(configuration.GROUPS, parameters)
        groups[name].options |= _options(parameters)
        for key in split(parameters.get("delete")):
            groups[name].options.pop(key, None)
        configuration.write(configuration.GROUPS, groups)


def delete(parameters: Mapping[str, Any]) -> None:
    """Remove a group that no resource uses.

    Raises:
        PveError: it is in use, or on PVE 9.
    """
    _require_groups("delete group")
    name = str(parameters["group"])
    with locking.domain("delete ha group failed"):
        users = [
            sid
            for sid, section in configuration.read(configuration.RESOURCES).items()
            if section.options.get("group") == name
        ]
        if users:
            raise die(f"ha group is used by service '{users[0]}'")
        groups = configuration.read(configuration.GROUPS)
        groups.pop(name, None)
        configuration.write(configuration.GROUPS, groups)


def _options(parameters: Mapping[str, Any]) -> dict[str, str]:
    given = {key: parameters[key] for key in _OPTIONS if parameters.get(key) is not None}
    return {key: str(int(value)) if key in _FLAGS else str(value) for key, value in given.items()}
