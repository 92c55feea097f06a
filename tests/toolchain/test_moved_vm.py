"""A node's VM that was migrated to another outer host: the engine plans to replace it, unless its record follows it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cli.state import moved_vms
from cluster import marks
from tests.support.pve import PASSWORD

if TYPE_CHECKING:
    from tests.support.pve import StatefulPve
    from tests.support.workspace import Workspace

PROGRAM = """
import pulumi_proxmoxve as proxmoxve

hosts = {
    name: proxmoxve.Provider(f"{name}-api", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"))
    for name in ("pve1", "pve2")
}
vm = proxmoxve.VmLegacy(
    "web-vm", node_name=cfg("host"), vm_id=300, name="web", started=False, cpu={"cores": 2},
    opts=pulumi.ResourceOptions(provider=hosts[cfg("host")]),
)
proxmoxve.PoolLegacy("pool", pool_id="guests", opts=pulumi.ResourceOptions(provider=hosts["pve1"], depends_on=[vm]))
"""


def described(host: str) -> Any:  # noqa: ANN401 - of a description what is asked
    node = SimpleNamespace(kind="nested", name="web", host=host, vmid=300)
    return SimpleNamespace(config=SimpleNamespace(nodes=[node], cluster=SimpleNamespace(seed="web")))


def test_it_is_not_replaced_when_its_record_follows_it(workspace: Workspace, pve: StatefulPve) -> None:
    values = {"endpoint": pve.url, "password": PASSWORD}
    run = workspace.up(PROGRAM, **values, host="pve1")
    assert run.code == 0, run.output
    pve.find("pve1", 300).node = "pve2"  # a migration by hand
    planned = workspace.preview(PROGRAM, **values, host="pve2")
    assert "create-replacement" in planned.steps()["web-vm"], "where this fails, the engine has learnt to follow"

    thing = marks.Thing(marks.VM, "300", "pve2", ours=True, shown="VM 300 on pve2")
    looks = {"pve2": [marks.Look("pve2", "pve2", quorate=True, things=(thing,))]}
    followed, told = moved_vms.follow(described("pve2"), workspace.export(), looks)
    assert told == ["web-vm: from pve1 to pve2"]
    workspace.import_state(followed)
    run = workspace.finish(workspace.start("up", "--yes", "--skip-preview", "--refresh", "--run-program"))
    assert run.code == 0, run.output
    assert "replace" not in json.dumps(run.steps())
    assert [(vm.vmid, vm.node) for vm in pve.vms] == [(100, "pve1"), (300, "pve2")]
    assert "::pve2-api::" in workspace.resources()["web-vm"]["provider"]
