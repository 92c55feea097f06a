"""Rewrites what an earlier version of this program recorded in another form, before the engine sees it. Pure.

Storages were resources of the provider, and are steps now. The engine would delete such a storage from under all guests; so the
record is rewritten, and the storage itself is not touched. Steps on the control machine were started by another command,
which does not exist any more: what they made could not be removed.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from components.recorded import ADMIN
from onnode.system.pve import stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable

State = dict[str, Any]

OLD_STORAGE = "proxmoxve:storage/nfs:Nfs"
STEP = "command:local:Command"
OLD_ADMIN = ".venv/bin/python -m admin step"
VERIFY = "-verify"  # a cluster's step that knows its members, and has the secrets of a step that only looks


def old_storages(exported: State) -> list[str]:
    """The URNs of the storages in their old form."""
    return [resource["urn"] for resource in _resources(exported) if resource["type"] == OLD_STORAGE]


def changed_over(exported: State, stack: str) -> State:
    """The state with its storages as steps; a storage without a recorded step of its cluster stays as it is.

    Args:
        exported: what `pulumi stack export` printed.
        stack: its name.
    """
    resources = _resources(exported)
    renamed: dict[str, str] = {}
    records = []
    for resource in resources:
        sibling = _sibling(resources, resource) if resource["type"] == OLD_STORAGE else None
        if sibling is None:
            records.append(resource)
        else:
            record = _as_step(resource, sibling, stack)
            renamed[resource["urn"]] = record["urn"]
            records.append(record)
    changed = copy.deepcopy(exported)
    changed["deployment"]["resources"] = _renamed(records, renamed)
    return changed


def with_todays_commands(exported: State) -> State:
    """The state in which each step on the control machine is started as today.

    Args:
        exported: what `pulumi stack export` printed.
    """
    changed = copy.deepcopy(exported)
    for resource in _resources(changed):
        if resource["type"] == STEP:
            for part in ("inputs", "outputs"):
                values = resource.get(part) or {}
                values |= {key: _todays(values[key]) for key in ("create", "delete") if values.get(key)}
    return changed


def _todays(command: str) -> str:
    return command.replace(f"{OLD_ADMIN} ", f"{ADMIN} ", 1) if command.startswith(f"{OLD_ADMIN} ") else command


def _resources(exported: State) -> list[State]:
    return exported["deployment"].get("resources") or []


def _sibling(resources: Iterable[State], storage: State) -> State | None:
    """The step of the same cluster that verified it."""
    return next(
        (
            resource
            for resource in resources
            if resource["type"] == STEP
            and resource.get("parent") == storage.get("parent")
            and resource["urn"].endswith(VERIFY)
        ),
        None,
    )


def _as_step(storage: State, sibling: State, stack: str) -> State:
    given = storage["inputs"]
    # The recorded input is what a removal acts on: with `adopt`, since the provider left no mark on the storage.
    wanted = {
        "stack_tag": stack_tag(stack),
        "name": given["resourceId"],
        "server": given["server"],
        "export": given["export"],
        "contents": sorted(given.get("contents") or []),
        "adopt": True,
    }
    given_now = {
        "create": f"{ADMIN} storage",
        "delete": f"{ADMIN} storage --delete",
        "stdin": json.dumps({"members": json.loads(sibling["inputs"]["stdin"])["members"], "storage": wanted}),
        "addPreviousOutputInEnv": True,
    }
    printed = json.dumps({"changed": False, "facts": {"storage": wanted["name"], "adopt": True}})
    record = {
        **copy.deepcopy(storage),
        "urn": storage["urn"].replace(f"{OLD_STORAGE}::", f"{STEP}::"),
        "type": STEP,
        "id": f"{sibling['id']}-{wanted['name']}",
        "provider": sibling["provider"],
        "inputs": {**sibling["inputs"], **given_now},
        "outputs": {**sibling["outputs"], **given_now, "stdout": printed, "stderr": ""},
    }
    record.pop("propertyDependencies", None)
    return record


def _renamed(records: list[State], names: dict[str, str]) -> list[State]:
    """The records with other URNs, also where one record refers to another."""
    text = json.dumps(records)
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    renamed: list[State] = json.loads(text)
    return renamed
