"""What an earlier version recorded, rewritten, is taken by the real engine for today's: nothing goes, no step runs again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from cli.state import changeover
from tests.support.pve import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pve import StatefulPve
    from tests.support.workspace import Workspace

STEPS = """
import pulumi_command
cluster = pulumi.ComponentResource("nested-pve-ha:index:CorosyncCluster", "cluster", {})


def step(name, step, wanted, *after, **more):
    return pulumi_command.local.Command(
        name, create=f".venv/bin/python -m cluster {step}", stdin=json.dumps(wanted),
        logging=pulumi_command.local.Logging.STDERR, opts=pulumi.ResourceOptions(parent=cluster, depends_on=after), **more
    )


"""
HEAD = (
    STEPS
    + """
import pulumi_proxmoxve as proxmoxve
pve = proxmoxve.Provider("cluster-api", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"))
verify = step("cluster-verify", "verify-cluster", {"members": []})
"""
)
BEFORE = """
storage = proxmoxve.storage.Nfs(
    "cluster-storage-shared", resource_id="shared", server="127.0.0.1", export="/srv/pve", contents=["images"],
    opts=pulumi.ResourceOptions(provider=pve, parent=cluster, depends_on=[verify]),
)
"""
# As components/shared_storages.py makes it.
TODAY = """
wanted = {"stack_tag": "stack-test", "name": "shared", "server": "127.0.0.1", "export": "/srv/pve", "contents": ["images"]}
storage = step(
    "cluster-storage-shared", "storage", {"members": [], "storage": wanted}, verify,
    delete=".venv/bin/python -m cluster storage --delete", add_previous_output_in_env=True,
)
"""
USER = """
step("template", "template", {}, storage)
"""
TOLD = """\
#!/bin/sh
echo "$3 $4" >> steps.log
echo '{}'
"""


MACHINES = """
identity = step("design-identity", "identity", {"cluster": "c", "seed": "b", "members": [A, B]})
reached = [{key: member[key] for key in ("name", "address", "host_key")} for member in (A, B)]
step("vm01-verify-guest", "verify-guest", {"members": reached, "sid": "vm:200"}, identity)
create = step("cluster-create", "create-cluster", {"cluster": "c", "seed": "b", "members": [A, B]}, identity)
join = step("cluster-join-a", "join-node", {"cluster": "c", "joiner": A, "present": [B]}, create)
"""
SEED = """
step("cluster-join-b", "join-node", {"cluster": "c", "joiner": B, "present": [A]}, join)
"""
MEMBERS = """
A, B = (
    {"name": name, "address": f"10.0.0.{n}", "host_key": "k", "node_id": n, "votes": 1, "links": []}
    for n, name in enumerate("ab", start=1)
)
"""


def steps_log(workspace: Workspace) -> Path:
    """Where each step that is run is written down."""
    python = workspace.directory / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(TOLD)
    python.chmod(0o755)
    return workspace.directory / "steps.log"


def test_no_step_runs_again_for_being_given_less(workspace: Workspace) -> None:
    log = steps_log(workspace)
    today = STEPS + MEMBERS + MACHINES + SEED
    # The seed first, and whole members; the seed itself had no step by which it joins.
    machines = MACHINES.replace("[A, B]", "[B, A]").replace(
        "for member in (A, B)]", "for member in (B, A)]; reached = [B, A]"
    )
    before = STEPS + MEMBERS + machines
    first = workspace.up(before)
    assert first.code == 0, first.output
    log.unlink()
    planned = workspace.preview(today)
    assert planned.steps()["vm01-verify-guest"] == ["update"], "why the record is rewritten"
    assert planned.steps()["cluster-join-b"] == ["create"]

    workspace.import_state(changeover.with_todays_steps(workspace.export()))
    second = workspace.up(today)
    assert second.code == 0, second.output
    assert set(second.steps()["vm01-verify-guest"]) == {"same"}
    assert {name: ops for name, ops in second.steps().items() if set(ops) - {"same"}} == {}
    assert not log.exists()


def test_the_storage_stays_and_its_step_runs_once(workspace: Workspace, pve: StatefulPve) -> None:
    log = steps_log(workspace)
    given = {"endpoint": pve.url, "password": PASSWORD}
    first = workspace.up(HEAD + BEFORE + USER, **given)
    assert first.code == 0, first.output
    assert "shared" in pve.storages
    there = copy.deepcopy(pve.storages["shared"])
    log.unlink()
    planned = workspace.preview(HEAD + TODAY + USER, **given)
    assert set(planned.steps()["cluster-storage-shared"]) == {"create", "delete"}, "why the record is rewritten"

    workspace.import_state(changeover.changed_over(workspace.export(), "test"))
    second = workspace.up(HEAD + TODAY + USER, **given)
    assert second.code == 0, second.output
    assert second.steps()["cluster-storage-shared"] == ["update"]
    assert set(second.steps()["template"]) == {"same"}
    assert log.read_text().split() == ["storage"], "not removed"
    assert pve.storages["shared"] == there
    third = workspace.up(HEAD + TODAY + USER, **given)
    assert {name: ops for name, ops in third.steps().items() if set(ops) - {"same"}} == {}
