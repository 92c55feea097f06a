"""The plugin serves both halves of the provider that it wraps: the older (virtual machines, pools) and the newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.pve import PASSWORD

if TYPE_CHECKING:
    from tests.support.pve import StatefulPve
    from tests.support.workspace import Run, Workspace

PROGRAM = """
import pulumi_proxmoxve as proxmoxve

pve = proxmoxve.Provider("pve", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"))
opts = pulumi.ResourceOptions(provider=pve)
pool = proxmoxve.PoolLegacy("pool", pool_id="guests", comment="of a test", opts=opts)
proxmoxve.VmLegacy(
    "older", node_name="pve1", vm_id=300, name="node", started=False, tags=["b", "a"],
    cpu={"type": "host", "cores": cfg("cores")}, memory={"dedicated": 4096},
    network_devices=[{"bridge": "vmbr0", "mac_address": "BC:24:11:00:00:01"}], opts=opts,
)
proxmoxve.storage.Directory("newer", resource_id="iso-store", path="/srv/iso", contents=["iso"], opts=opts)
ask = pulumi.InvokeOptions(provider=pve)
pulumi.export("nodes", proxmoxve.get_nodes_legacy_output(opts=ask).names)
pulumi.export("release", proxmoxve.get_version_output(opts=ask).release)
"""


def up(workspace: Workspace, pve: StatefulPve, password: str = PASSWORD, cores: int = 2) -> Run:
    return workspace.up(PROGRAM, endpoint=pve.url, password=password, cores=cores)


def test_resources_and_functions_of_both_halves_work_and_are_changed_and_removed(
    workspace: Workspace, pve: StatefulPve
) -> None:
    run = up(workspace, pve)

    assert run.code == 0, run.output
    assert pve.find("pve1", 300).config["cpu"] == "host"
    assert "guests" in pve.pools
    assert "iso-store" in pve.storages
    assert workspace.outputs() == {"nodes": ["pve1", "pve2"], "release": "9.0"}

    changed = up(workspace, pve, cores=4)

    assert changed.steps()["older"] == ["update"]
    assert int(pve.find("pve1", 300).config["cores"]) == 4
    assert workspace.destroy().code == 0
    assert [vm.vmid for vm in pve.vms] == [100]


def test_a_wrong_password_is_refused_and_not_shown(workspace: Workspace, pve: StatefulPve) -> None:
    run = up(workspace, pve, password="not-the-password")

    assert run.code != 0
    assert "401" in run.output or "authentication failure" in run.output
    assert "not-the-password" not in run.output
    assert "guests" not in pve.pools


def test_a_certificate_that_nobody_vouches_for_is_refused(workspace: Workspace, pve: StatefulPve) -> None:
    del workspace.environment["SSL_CERT_FILE"]

    run = up(workspace, pve)

    assert run.code != 0
    assert "x509" in run.output
    assert pve.requests == []
