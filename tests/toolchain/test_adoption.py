"""What a run that died was making in the place of something else is recorded again, and what it replaces goes."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cli.state import adoption
from components.recorded import VM_TYPE
from tests.support.pve import PASSWORD

if TYPE_CHECKING:
    from tests.support.pve import StatefulPve
    from tests.support.workspace import Workspace

PROGRAM = """
import pulumi_proxmoxve as proxmoxve

pve = proxmoxve.Provider("virtual-api", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"))
opts = pulumi.ResourceOptions(provider=pve)
vm = proxmoxve.VmLegacy(
    "web-vm", node_name="pve1", vm_id=cfg("vmid"), name="web", started=False, cpu={"cores": 2}, opts=opts
)
proxmoxve.PoolLegacy("pool", pool_id="guests", opts=pulumi.ResourceOptions(provider=pve, depends_on=[vm]))
"""
THING: Any = SimpleNamespace(type=VM_TYPE, logical="web-vm")


def test_a_replacement_that_was_made_and_not_recorded_is_taken_up(workspace: Workspace, pve: StatefulPve) -> None:
    """The provider refused for ever to make what was there already, or took it for its own on a second try."""
    values = {"endpoint": pve.url, "password": PASSWORD}
    assert workspace.up(PROGRAM, **values, vmid=300).code == 0
    planned = workspace.preview(PROGRAM, **values, vmid=301)
    assert "create-replacement" in planned.steps()["web-vm"]
    made = copy.deepcopy(pve.find("pve1", 300))
    made.vmid = 301
    pve.vms.append(made)  # as a run leaves it that dies before it records it

    creates = adoption.planned(planned.events)
    found, urns = adoption.adopt(workspace.export(), creates, [THING], lambda _name: PASSWORD)
    workspace.import_state(found)
    assert [urn.rpartition("::")[2] for urn in urns] == ["web-vm"]

    run = workspace.finish(workspace.start("up", "--yes", "--skip-preview", "--refresh", "--run-program"))
    assert run.code == 0, run.output
    assert sorted(vm.vmid for vm in pve.vms) == [100, 301]
    assert "create-replacement" not in json.dumps(run.steps())
    assert workspace.resources()["web-vm"]["id"] == "301"
