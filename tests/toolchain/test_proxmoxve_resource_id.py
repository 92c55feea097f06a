"""Resources whose id the user chooses: the published plugin crashes when it creates them, ours must not.

https://github.com/muhlba91/pulumi-proxmoxve/issues/967: "interface conversion: interface {} is nil, not int", after the
object was created in Proxmox VE and before it reached Pulumi's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.pve import PASSWORD

if TYPE_CHECKING:
    from tests.support.pve import StatefulPve
    from tests.support.workspace import Run, Workspace

PROGRAM = """
import pulumi_proxmoxve as proxmoxve

pve = proxmoxve.Provider("pve", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"))
opts = pulumi.ResourceOptions(provider=pve)
proxmoxve.storage.Directory("directory", resource_id="iso-store", path="/srv/iso", contents=["iso"], opts=opts)
proxmoxve.storage.Nfs("nfs", resource_id="shared", server="127.0.0.1", export="/srv/pve", contents=["images"], opts=opts)
proxmoxve.storage.DirectoryLegacy("legacy", resource_id="old-store", path="/srv/old", contents=["iso"], opts=opts)
zone = proxmoxve.sdn.zone.Simple("zone", resource_id="lab", nodes=["pve1"], opts=opts)
proxmoxve.sdn.Vnet("vnet", resource_id="vnet1", zone=zone.resource_id, alias=cfg("alias"), opts=opts)
proxmoxve.backup.Job("backup", resource_id="nightly", schedule="02:00", storage="local", vmids=["100"], opts=opts)
proxmoxve.Replication("replication", resource_id="100-0", type="local", target="pve2", schedule="*/15", opts=opts)
proxmoxve.Vm("vm", resource_id="200", node_name="pve1", name="counted", opts=opts)
"""
IDS = {
    "directory": "iso-store",
    "nfs": "shared",
    "legacy": "old-store",
    "zone": "lab",
    "vnet": "vnet1",
    "backup": "nightly",
    "replication": "100-0",
    "vm": "200",
}


def up(workspace: Workspace, pve: StatefulPve, alias: str = "first") -> Run:
    run = workspace.up(PROGRAM, endpoint=pve.url, password=PASSWORD, alias=alias)
    assert "panic" not in run.output
    assert run.code == 0, run.output
    return run


def kept_by(pve: StatefulPve) -> set[str]:
    entries = {name for collection in pve.collections.values() for name in collection}
    return entries | set(pve.storages) | {str(vm.vmid) for vm in pve.vms}


def outputs(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """What the state says of each resource, less the bridge's own notes: they hold ciphertext that always differs."""
    resources = workspace.resources()
    return {
        name: {key: value for key, value in resources[name]["outputs"].items() if not key.startswith("__")}
        for name in IDS
    }


def test_the_chosen_id_becomes_the_id_of_the_resource_from_its_making_to_its_end(
    workspace: Workspace, pve: StatefulPve
) -> None:
    """Nothing changes in a second run after reading back; a destroy removes what was made and nothing else."""
    others = kept_by(pve)
    up(workspace, pve)

    resources = workspace.resources()
    assert {name: resources[name]["id"] for name in IDS} == IDS
    assert {name: resources[name]["outputs"]["resourceId"] for name in IDS} == IDS
    assert kept_by(pve) == others | set(IDS.values())

    before = outputs(workspace)
    assert workspace.refresh().code == 0
    steps = up(workspace, pve).steps()
    assert {name: steps[name] for name in IDS} == {name: ["same"] for name in IDS}
    assert outputs(workspace) == before

    run = workspace.destroy()
    assert run.code == 0, run.output
    assert kept_by(pve) == others


def test_what_changed_or_went_behind_pulumis_back_is_noticed_and_put_right(
    workspace: Workspace, pve: StatefulPve
) -> None:
    up(workspace, pve)
    vnets = pve.collections["/cluster/sdn/vnets"]
    vnets["vnet1"]["alias"] = "by-hand"
    del pve.storages["iso-store"]

    assert workspace.refresh().code == 0
    assert "directory" not in workspace.resources()
    assert workspace.resources()["vnet"]["outputs"]["alias"] == "by-hand"

    steps = up(workspace, pve).steps()
    assert steps["vnet"] == ["update"]
    assert vnets["vnet1"]["alias"] == "first"
    assert steps["directory"] == ["create"]
    assert "iso-store" in pve.storages
