"""A storage that an earlier version had the provider make is a step's from now on; the real engine takes nothing away."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from cli.state import changeover
from tests.support.pve import PASSWORD

if TYPE_CHECKING:
    from tests.support.pve import StatefulPve
    from tests.support.workspace import Workspace

HEAD = """
import pulumi_command
import pulumi_proxmoxve as proxmoxve
pve = proxmoxve.Provider("cluster-api", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"))
cluster = pulumi.ComponentResource("nested-pve-ha:index:CorosyncCluster", "cluster", {})


def step(name, step, wanted, *after, **more):
    return pulumi_command.local.Command(
        name, create=f".venv/bin/python -m cluster {step}", stdin=json.dumps(wanted),
        logging=pulumi_command.local.Logging.STDERR, opts=pulumi.ResourceOptions(parent=cluster, depends_on=after), **more
    )


verify = step("cluster-verify", "verify-cluster", {"members": []})
"""
BEFORE = """
storage = proxmoxve.storage.Nfs(
    "cluster-storage-shared", resource_id="shared", server="127.0.0.1", export="/srv/pve", contents=["images"],
    opts=pulumi.ResourceOptions(provider=pve, parent=cluster, depends_on=[verify]),
)
"""
# As components/corosync_cluster.py makes it.
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


def test_the_storage_stays_and_its_step_runs_once(workspace: Workspace, pve: StatefulPve) -> None:
    python = workspace.directory / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(TOLD)
    python.chmod(0o755)
    log = workspace.directory / "steps.log"
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
