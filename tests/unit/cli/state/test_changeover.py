"""What an earlier version recorded keeps its storages, and runs no step again, when it is read by today's."""

from __future__ import annotations

import asyncio
import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import description, shell
from cli.engine import engine, environment
from cli.looks import trust
from cli.run import loading
from cli.state import changeover, interrupted, outer_vms, site_instance
from cli.status import command as status_command
from cli.status import table
from cli.status.model import Wanted
from cluster.contract import ClusterStorage
from cluster.errors import AdminError
from onnode.contract.documents import parse
from tests.support.fourth_node import NODE4, ROOM
from tests.support.program import Recording, change, run, stack_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLUSTER = "urn:pulumi:home::nested-pve-ha::nested-pve-ha:index:CorosyncCluster::cluster"
INSIDE = "urn:pulumi:home::nested-pve-ha::nested-pve-ha:index:CorosyncCluster$"
OLD = f"{INSIDE}proxmoxve:storage/nfs:Nfs::cluster-storage-shared"
NEW = f"{INSIDE}command:local:Command::cluster-storage-shared"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
MEMBERS = [{"name": "a", "address": "10.0.0.1", "host_key": "k", "node_id": 1, "votes": 1, "links": []}]
INPUTS = {
    "create": ".venv/bin/python -m cluster verify-cluster",
    "stdin": json.dumps({"cluster": "home", "members": MEMBERS}),
    "environment": SECRET,
    "logging": "stderr",
}
OLD_COMMANDS = {
    "create": ".venv/bin/python -m admin step claim",
    "delete": ".venv/bin/python -m admin step claim --delete",
}
STATE: dict[str, Any] = {
    "deployment": {
        "resources": [
            {"urn": CLUSTER, "type": "nested-pve-ha:index:CorosyncCluster"},
            {
                "urn": f"{INSIDE}command:local:Command::cluster-verify",
                "type": "command:local:Command",
                "id": "cluster-verify4711",
                "parent": CLUSTER,
                "provider": "urn:…::default_1_2_1::id",
                "inputs": INPUTS,
                "outputs": {**INPUTS, "stdout": "{}"},
            },
            {
                "urn": OLD,
                "type": "proxmoxve:storage/nfs:Nfs",
                "id": "shared",
                "custom": True,
                "parent": CLUSTER,
                "provider": "urn:…::cluster-api::id",
                "inputs": {"resourceId": "shared", "server": "10.30.1.1", "export": "/srv", "contents": ["rootdir"]},
                "outputs": {"server": "10.30.1.1"},
                "deletedWith": "urn:…::vm",
            },
            {"urn": "urn:…::template", "type": "command:local:Command", "dependencies": [OLD]},
        ]
    }
}


def test_a_recorded_storage_becomes_a_step_that_knows_it_as_ours() -> None:
    before = copy.deepcopy(STATE)
    changed = changeover.changed_over(STATE, "home")["deployment"]["resources"]
    assert before == STATE
    assert [resource["urn"] for resource in changed][2] == NEW
    record = changed[2]
    assert record["provider"] == "urn:…::default_1_2_1::id"
    assert record["deletedWith"] == "urn:…::vm"
    assert record["inputs"]["environment"] == SECRET
    wanted = parse(ClusterStorage, json.loads(record["inputs"]["stdin"]))
    assert (wanted.storage.name, wanted.storage.stack_tag, wanted.storage.adopt) == ("shared", "stack-home", True)
    assert json.loads(record["outputs"]["stdout"])["facts"] == {"storage": "shared", "adopt": True}
    assert changed[3]["dependencies"] == [NEW]
    assert not changeover.old_storages({"deployment": {"resources": changed}})


def test_where_no_cluster_was_verified_nothing_is_rewritten() -> None:
    early = {"deployment": {"resources": [STATE["deployment"]["resources"][2]]}}
    assert changeover.changed_over(early, "home") == early


def test_a_storage_that_an_earlier_version_was_killed_at_is_put_into_todays_form_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recorded again in its old form, it was removed from the cluster by the run after."""
    resources = STATE["deployment"]["resources"]
    killed = {"resources": resources[:2], "pending_operations": [{"type": "creating", "resource": resources[2]}]}
    recorded: list[Any] = [{"deployment": killed}]
    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(environment, "file_backend", lambda _env: None)
    monkeypatch.setattr(description, "read", lambda *_: SimpleNamespace(config=None))
    monkeypatch.setattr(trust, "settings", lambda *_: {})
    monkeypatch.setattr(engine.Engine, "export", lambda _self: copy.deepcopy(recorded[-1]))
    monkeypatch.setattr(engine.Engine, "replace_state", lambda _self, _seen, state: recorded.append(state))
    loaded = loading.load("home", yes=True)
    assert not interrupted.has_pending(loaded.state)
    assert [resource["urn"] for resource in loaded.state["deployment"]["resources"]][2:] == [NEW]


def test_steps_are_started_as_today_and_nothing_else_of_them_changes() -> None:
    """The command that earlier versions recorded is not there any more: nothing could be removed with it."""
    other = {"type": "command:local:Command", "urn": "urn:x", "inputs": {"create": "echo -m admin step"}, "outputs": {}}
    claim = {"type": "command:local:Command", "urn": "urn:y", "inputs": {**OLD_COMMANDS, "stdin": "{}"}}
    state = {"deployment": {"resources": [{**claim, "outputs": {**OLD_COMMANDS, "stdout": "{}"}}, other]}}
    changed = changeover.with_todays_steps(state)
    commands = {"create": ".venv/bin/python -m cluster claim", "delete": ".venv/bin/python -m cluster claim --delete"}
    assert changed["deployment"]["resources"] == [
        {**claim, "inputs": {**commands, "stdin": "{}"}, "outputs": {**commands, "stdout": "{}"}},
        other,
    ]
    assert changeover.with_todays_steps(changed) == changed
    assert changeover.with_todays_steps({"deployment": {}}) == {"deployment": {}}


NEW_STEPS = ("cluster-change", "cluster-removal", "-disks-gone")


def as_recorded_before(recording: Recording, order: list[str]) -> dict[str, Any]:
    """The state of the version before: every step was told all of its members, the seed first; the seed itself did not join."""
    change, seed = recording["design-identity"].stdin, recording["cluster-create"].stdin["seed"]
    members = {member["name"]: member for member in change["members"]}
    ordered = [members[name] for name in sorted(order, key=lambda name: name != seed)]

    def before(given: dict[str, Any]) -> dict[str, Any]:
        found = dict(given)
        if "housing" in given:
            return {"cluster": given["cluster"], "seed": seed, "members": ordered}
        if "members" in given:
            found["members"] = ordered
        if {machine["name"] for machine in given.get("machines", [])} == members.keys():
            found["machines"] = sorted(given["machines"], key=lambda machine: ordered.index(members[machine["name"]]))
        if "joiner" in given:
            found["present"] = ordered[: ordered.index(given["joiner"])]
        if "watchdogs" in given:
            found["watchdogs"] = {name: given["watchdogs"][name] for name in order}
        return found

    state = state_of(recording, lambda stdin: json.dumps(before(json.loads(stdin))))
    absent = (*NEW_STEPS, f"cluster-join-{seed}")
    resources = [one for one in state["deployment"]["resources"] if not one["urn"].endswith(absent)]
    created, vm = recording["cluster-create"].urn, recording[f"{seed}-vm"].urn
    for one in resources:
        if one.get("deletedWith") == created:
            one["deletedWith"] = vm
    return {"deployment": {"resources": resources}}


def state_of(recording: Recording, text: Callable[[str], str] = str) -> dict[str, Any]:
    resources = []
    for resource in recording.resources.values():
        inputs = dict(resource.inputs)
        if resource.type == "command:local:Command":
            inputs["stdin"] = text(inputs["stdin"])
        record = {"urn": resource.urn, "type": resource.type, "parent": resource.parent, "inputs": inputs}
        within = {"deletedWith": resource.deleted_with} if resource.deleted_with else {}
        resources.append({**record, "outputs": {**inputs, "id": 1}, **within})
    return {"deployment": {"resources": resources}}


def by_name(state: dict[str, Any]) -> dict[str, Any]:
    """What the engine compares of each resource."""
    return {
        one["urn"].rpartition("::")[2]: (one["inputs"], one.get("deletedWith"))
        for one in state["deployment"]["resources"]
        if not one["urn"].endswith((*NEW_STEPS, "design-identity"))
    }


def test_no_step_runs_again_for_what_it_is_given_today(tmp_path: Path) -> None:
    """Only what is new runs: two steps, and the identity step, which has to learn how the nodes are reached."""
    one, two, three = stack_file("dev")["nodes"]
    shuffled = [three, NODE4, one, two]
    wanted = change(stack_file("dev"), {**ROOM, "nodes": shuffled, "cluster.seed": "proxmox02"})
    recording = run(wanted, tmp_path)
    today, before = by_name(state_of(recording)), as_recorded_before(recording, [node["name"] for node in shuffled])
    differing = {name for name, found in by_name(before).items() if found != today[name]}
    guests = ["debian-template-template", "vm01-ha-ready", "vm01-verify-guest", "ct01-container"]
    cluster = ["create", "join-proxmox03", "join-proxmox04", "certificate", "api-user", "storage-shared", "options"]
    assert {*guests, *(f"cluster-{step}" for step in cluster)} <= differing
    changed = changeover.with_todays_steps(before)
    assert by_name(changed) == today
    assert changeover.with_todays_steps(changed) == changed


def test_the_seed_of_an_earlier_version_is_recorded_as_joined_after_it_created_the_cluster(tmp_path: Path) -> None:
    recording = run(stack_file("dev"), tmp_path)
    before = as_recorded_before(recording, ["proxmox01", "proxmox02", "proxmox03"])
    names = [one["urn"].rpartition("::")[2] for one in before["deployment"]["resources"]]
    changed = changeover.with_todays_steps(before)["deployment"]["resources"]
    record = next(one for one in changed if one["urn"].endswith("::cluster-join-proxmox01"))
    assert changed[changed.index(record) - 1]["urn"] == recording["cluster-create"].urn
    assert record["dependencies"] == [recording["cluster-create"].urn]
    assert json.loads(record["outputs"]["stdout"])["facts"] == {"cluster": "proxmox", "member": "proxmox01"}
    assert "cluster-join-proxmox01" not in names
    # Of a cluster that was not complete, nothing is claimed.
    half = [one for one in before["deployment"]["resources"] if not one["urn"].endswith("::cluster-join-proxmox03")]
    kept = changeover.with_todays_steps({"deployment": {"resources": half}})["deployment"]["resources"]
    assert not [one for one in kept if one["urn"].endswith("::cluster-join-proxmox01")]


def test_a_node_that_came_since_is_no_reason_to_rewrite_what_todays_version_recorded(tmp_path: Path) -> None:
    """A run that failed before the joins leaves them as they are recorded: they are to run again."""
    state = state_of(run(stack_file("dev"), tmp_path))
    four = run(change(stack_file("dev"), {**ROOM, "nodes.+": {**NODE4, "nodeId": 4}}), tmp_path)
    identity = next(one for one in state["deployment"]["resources"] if one["urn"].endswith("::design-identity"))
    identity["inputs"] = four["design-identity"].inputs
    assert changeover.with_todays_steps(state) == state


def old_storage_step() -> dict[str, Any]:
    """As recorded when steps that only reach nodes were given members; nothing else is recorded."""
    command = {
        "create": ".venv/bin/python -m cluster storage",
        "delete": ".venv/bin/python -m cluster storage --delete",
    }
    storage = {"stack_tag": "stack-home", "name": "shared", "server": "10.0.0.9", "export": "/srv", "contents": []}
    inputs = {**command, "stdin": json.dumps({"members": MEMBERS, "storage": storage})}
    return {"deployment": {"resources": [{"urn": NEW, "type": "command:local:Command", "inputs": inputs}]}}


def test_without_a_recorded_identity_a_step_is_given_what_it_knows_and_nothing_else() -> None:
    (step,) = changeover.with_todays_steps(old_storage_step())["deployment"]["resources"]
    wanted = parse(ClusterStorage, json.loads(step["inputs"]["stdin"]))
    assert [machine.name for machine in wanted.members] == ["a"]


def test_a_shell_finds_the_steps_in_todays_form_and_keeps_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain `pulumi destroy` in it starts them as they are recorded."""
    recorded: list[Any] = [old_storage_step()]

    async def looked(_described: object, state: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401 - JSON
        await asyncio.sleep(0)
        assert state == recorded[-1]
        return {}, {}

    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(environment, "put_back_state", lambda *_: None)
    monkeypatch.setattr(description, "read", lambda *_: None)
    monkeypatch.setattr(trust, "looked", looked)
    monkeypatch.setattr(engine.Engine, "export", lambda _self: copy.deepcopy(recorded[-1]))
    monkeypatch.setattr(engine.Engine, "replace_state", lambda _self, _seen, state: recorded.append(state))
    shell.environment_of("home")
    assert recorded[-1] == changeover.with_todays_steps(old_storage_step()) != recorded[0]
    said = capsys.readouterr()
    assert said.out == ""
    assert "their record is rewritten" in said.err


def test_status_looks_for_what_the_steps_of_an_earlier_version_made(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[Any] = []

    async def look(_described: object, _wanted: object, state: Any) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:  # noqa: ANN401 - JSON
        await asyncio.sleep(0)
        looked_for.append(state)
        return {}, [], {}

    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(environment, "put_back_state", lambda *_: None)
    monkeypatch.setattr(description, "read", lambda *_: None)
    monkeypatch.setattr(status_command, "wanted_of", lambda _: Wanted("home", "proxmox", 9, [], [], []))
    monkeypatch.setattr(outer_vms, "nested_nodes", lambda _: [])
    monkeypatch.setattr(table, "show", lambda *_: None)
    monkeypatch.setattr(status_command, "_look", look)
    monkeypatch.setattr(engine.Engine, "export", lambda _self: old_storage_step())
    status_command.status("home", as_json=False)
    assert looked_for == [changeover.with_todays_steps(old_storage_step())] != [old_storage_step()]


@pytest.mark.parametrize("yes", [True, False])
def test_a_state_of_earlier_machines_is_emptied_only_when_somebody_agrees(
    monkeypatch: pytest.MonkeyPatch, *, yes: bool
) -> None:
    """An id may be wrong: a typing error, or one that was set for another stack."""
    recorded: list[Any] = [copy.deepcopy(STATE)]
    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(environment, "file_backend", lambda _env: None)
    monkeypatch.setattr(description, "read", lambda *_: SimpleNamespace(config=None))
    monkeypatch.setattr(trust, "settings", lambda *_: {})
    monkeypatch.setattr(site_instance, "is_gone", lambda state: state == STATE)
    monkeypatch.setattr(engine.Engine, "export", lambda _self: copy.deepcopy(recorded[-1]))
    monkeypatch.setattr(engine.Engine, "replace_state", lambda _self, _seen, state: recorded.append(state))
    if yes:
        assert not loading.load("home", yes=True).has_resources
        return
    with pytest.raises(AdminError) as refused:
        loading.load("home", yes=False)
    assert refused.value.code == "not-confirmed"
    assert recorded == [STATE]
