"""Rewrites what an earlier version of this program recorded in another form, before the engine sees it. Pure.

Storages were resources of the provider, and are steps now. The engine would delete such a storage from under all guests; so the
record is rewritten, and the storage itself is not touched. Steps on the control machine were started by another command,
which does not exist any more: what they made could not be removed. They were given more than they need, in the order of the
stack file or the seed first: with today's input each would run again. The seed had no step of its own by which it joins, and what
lives in the cluster was recorded as going with the seed's VM.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from cluster import formation
from components.recorded import ADMIN, LOCAL_STEP, NFS_TYPE
from onnode.system.pve import stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

State = dict[str, Any]

OLD_ADMIN = ".venv/bin/python -m admin step"
VERIFY = "-verify"  # a cluster's step that knows its members, and has the secrets of a step that only looks
# These steps only reach the nodes; they were also given the nodes' ids, votes and links.
REACHING = ("api-user", "storage", "template", "container", "ha-ready", "verify-guest")
CREATION, JOIN = "cluster-create", "cluster-join-"  # names of resources
MACHINE = ("name", "address", "host_key")


def old_storages(exported: State) -> list[str]:
    """The URNs of the storages in their old form."""
    return [resource["urn"] for resource in _resources(exported) if resource["type"] == NFS_TYPE]


def changed_over(exported: State, stack: str) -> State:
    """The state with its storages as steps; a storage without a recorded step of its cluster stays as it is.

    Args:
        exported: what `pulumi stack export` printed.
        stack: its name.
    """
    resources = _resources(exported)
    urns: dict[str, str] = {}
    records = []
    for resource in resources:
        sibling = _sibling(resources, resource) if resource["type"] == NFS_TYPE else None
        if sibling is None:
            records.append(resource)
        else:
            record = _as_step(resource, sibling, stack)
            urns[resource["urn"]] = record["urn"]
            records.append(record)
    changed = copy.deepcopy(exported)
    changed["deployment"]["resources"] = renamed(records, urns)
    return changed


def with_todays_steps(exported: State) -> State:
    """The state in which each step on the control machine is started and given its input as today.

    Args:
        exported: what `pulumi stack export` printed.
    """
    changed = copy.deepcopy(exported)
    parts = [
        resource[part]
        for resource in _resources(changed)
        if resource["type"] == LOCAL_STEP
        for part in ("inputs", "outputs")
        if resource.get(part)
    ]
    for values in parts:
        values |= {key: _todays(values[key]) for key in ("create", "delete") if values.get(key)}
    given = [(values, found) for values in parts if (found := _given(values)) is not None]
    members = _members(given)
    if any(_is_old(_step(values), found) for values, found in given):
        for values, found in given:
            values["stdin"] = json.dumps(_todays_input(_step(values), found, members))
    if members:
        _let_the_seed_join(changed, members)
        _let_no_node_take_the_cluster_along(changed)
    return changed


def _todays(command: str) -> str:
    return command.replace(f"{OLD_ADMIN} ", f"{ADMIN} ", 1) if command.startswith(f"{OLD_ADMIN} ") else command


def _step(values: State) -> str:
    """The step that a resource runs on the control machine; empty for any other command."""
    program, name, step = str(values.get("create") or values.get("delete") or "").partition(f"{ADMIN} ")
    return step.removesuffix(" --delete") if name and not program else ""


def _given(values: State) -> State | None:
    """A step's recorded input."""
    return json.loads(values["stdin"]) if _step(values) and isinstance(values.get("stdin"), str) else None


def _is_old(step: str, given: State) -> bool:
    seed_counts = step == "identity" and "seed" in given
    return seed_counts or (
        step in REACHING and any(machine.keys() != set(MACHINE) for machine in given.get("members", []))
    )


def _members(steps: Iterable[tuple[State, State]]) -> dict[str, State]:
    """The nodes of the cluster by name, in the order of their ids, as an earlier version recorded them; empty otherwise."""
    given = next((found for values, found in steps if _step(values) == "identity" and "seed" in found), None)
    members = sorted(given["members"], key=lambda member: member["node_id"]) if given else []
    return {member["name"]: member for member in members}


def _let_the_seed_join(changed: State, members: Mapping[str, State]) -> None:
    """Record for the seed what a join of another node is recorded as, once it has created the cluster."""
    resources = _resources(changed)
    names = {resource["urn"].rpartition("::")[2]: place for place, resource in enumerate(resources)}
    sibling = next((resources[place] for name, place in names.items() if name.startswith(JOIN)), None)
    missing = [name for name in members if f"{JOIN}{name}" not in names]
    if sibling is None or CREATION not in names or len(missing) != 1:
        return  # a cluster that is not complete: its step looks, and finds the seed to be a member
    [seed] = missing
    record = copy.deepcopy(sibling)
    given = json.loads(record["inputs"]["stdin"])
    wanted = json.dumps(
        given | {"joiner": members[seed], "present": formation.given_to_join(list(members.values()), members[seed])}
    )
    printed = json.dumps({"changed": False, "facts": {"cluster": given["cluster"], "member": seed}}, sort_keys=True)
    record["urn"] = f"{record['urn'].rpartition('::')[0]}::{JOIN}{seed}"
    record["id"] = f"{record.get('id', '')}-{seed}"
    record["inputs"]["stdin"] = wanted
    record["outputs"] = {**(record.get("outputs") or {}), "stdin": wanted, "stdout": printed, "stderr": ""}
    record["dependencies"] = [resources[names[CREATION]]["urn"]]
    record.pop("propertyDependencies", None)
    resources.insert(names[CREATION] + 1, record)


def _let_no_node_take_the_cluster_along(changed: State) -> None:
    """What lives in the cluster goes with the cluster itself."""
    resources = _resources(changed)
    created = next((one for one in resources if one["urn"].rpartition("::")[2] == CREATION), None)
    for resource in resources:
        inside = created is not None and resource.get("parent") == created.get("parent")
        if created is not None and inside and resource.get("deletedWith"):
            resource["deletedWith"] = created["urn"]


def _todays_input(step: str, given: State, members: Mapping[str, State]) -> State:
    wanted = dict(given)
    for key in ("members", "machines"):
        if key in given:
            wanted[key] = _in_order(given[key], members)
    if step in REACHING:
        wanted["members"] = _reached(wanted["members"])
    if step == "join-node" and given["joiner"]["name"] in members:
        told = {member["name"]: member for member in given["present"]}
        present = formation.given_to_join(list(members.values()), members[given["joiner"]["name"]])
        wanted["present"] = [told.get(member["name"], member) for member in present]
    if members and members.keys() == given.get("watchdogs", {}).keys():
        wanted["watchdogs"] = {name: given["watchdogs"][name] for name in members}
    return wanted


def _in_order(machines: list[State], members: Mapping[str, State]) -> list[State]:
    """In the order of the members; outer hosts, and machines of which nothing is known, as they are."""
    names = list(members)
    known = all(machine["name"] in members for machine in machines)
    return sorted(machines, key=lambda machine: names.index(machine["name"])) if known else machines


def _reached(machines: list[State]) -> list[State]:
    return [{key: machine[key] for key in MACHINE} for machine in machines]


def _resources(exported: State) -> list[State]:
    return exported["deployment"].get("resources") or []


def _sibling(resources: Iterable[State], storage: State) -> State | None:
    """The step of the same cluster that verified it."""
    return next(
        (
            resource
            for resource in resources
            if resource["type"] == LOCAL_STEP
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
        "stdin": json.dumps(
            {"members": _reached(json.loads(sibling["inputs"]["stdin"])["members"]), "storage": wanted}
        ),
        "addPreviousOutputInEnv": True,
    }
    printed = json.dumps({"changed": False, "facts": {"storage": wanted["name"], "adopt": True}})
    record = {
        **copy.deepcopy(storage),
        "urn": storage["urn"].replace(f"{NFS_TYPE}::", f"{LOCAL_STEP}::"),
        "type": LOCAL_STEP,
        "id": f"{sibling['id']}-{wanted['name']}",
        "provider": sibling["provider"],
        "inputs": {**sibling["inputs"], **given_now},
        "outputs": {**sibling["outputs"], **given_now, "stdout": printed, "stderr": ""},
    }
    record.pop("propertyDependencies", None)
    return record


def renamed(records: list[State], names: dict[str, str]) -> list[State]:
    """The records with other URNs, also where one record refers to another."""
    text = json.dumps(records)
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    found: list[State] = json.loads(text)
    return found
