"""Plain `pulumi destroy` deletes VMs by their number: the guard before each keeps it from what is somebody else's by then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.support.workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.workspace import Workspace

PROGRAM = """
import sys
from types import SimpleNamespace
import pulumi_proxmoxve as pve
sys.path.insert(0, cfg("root"))
from admin.desired import Machine, Ownership
from components import ownership, steps

provider = pve.Provider("virtual-api", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"), insecure=True)
vm = pve.VmLegacy(
    "node-vm", node_name="pve1", vm_id=101, name="proxmox01", tags=["nested-pve-ha", "stack-dev"], started=False,
    on_boot=False, boot_orders=["scsi0"], scsi_hardware="virtio-scsi-single", stop_on_destroy=True,
    disks=[pve.VmLegacyDiskArgs(interface="scsi0", datastore_id="local-lvm", size=8)],
    opts=pulumi.ResourceOptions(provider=provider),
)
if cfg("guarded"):
    steps.ADMIN = cfg("admin")
    site = SimpleNamespace(ssh_secrets=pulumi.Output.secret('{"ssh_private_key": "none"}'))
    wanted = Ownership([Machine("pve1", "192.0.2.180", "ssh-ed25519 AAAA")], "dev", "VM", "101", "foreign-vmid")
    ownership.guard("node-vm", site, wanted, vm, None)
"""
# The step as it is; what it would ask of the machine over SSH it asks of the directory that the node takes for "/".
STEP = """
import asyncio, subprocess, sys
from contextlib import asynccontextmanager
from types import SimpleNamespace
sys.path.insert(0, {project!r})
from admin import members, step
from admin.ssh import Completed


async def run(command, *, timeout_s):
    command = command.replace("cd /", "cd {node}", 1).replace("/etc/pve/.members", "etc/pve/.members")
    done = await asyncio.to_thread(subprocess.run, ["sh", "-c", command], capture_output=True, text=True, timeout=timeout_s)
    return Completed(done.returncode, done.stdout, done.stderr)


@asynccontextmanager
async def connections(machines, *_, **__):
    yield {{machine.name: SimpleNamespace(machine=machine, run=run) for machine in machines}}


members.connections = connections
sys.exit(step.call(sys.argv[1:]))
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApiNode]:
    root = tmp_path / "pve1"
    furnish(root, "pve1")
    (root / "dev/kvm").touch()
    (root / "etc/pve/.members").write_text('{"nodename": "pve1"}')
    with running(root) as found:
        yield found


@pytest.mark.parametrize("guarded", [True, False])
def test_a_vm_that_took_the_number_of_ours_is_not_destroyed(
    workspace: Workspace, node: ApiNode, tmp_path: Path, *, guarded: bool
) -> None:
    script = tmp_path / "step.py"
    script.write_text(STEP.format(project=str(ROOT), node=node.root))
    values = {"endpoint": node.endpoint, "password": PASSWORD, "root": str(ROOT), "guarded": guarded}
    run = workspace.up(PROGRAM, **values, admin=f"{sys.executable} {script}")
    assert run.code == 0, run.output
    node.tool("qm", "destroy", "101")
    node.tool("qm", "create", "101", "--name", "precious", "--memory", "333", "--tags", "customer")
    file = node.pve / "nodes/pve1/qemu-server/101.conf"
    before = file.read_text()
    assert "memory: 333" in before
    gone = workspace.destroy()
    if not guarded:
        assert not file.exists(), "where this fails, the provider has learnt to look: all the better"
        return
    assert gone.code != 0
    assert "error[foreign-vmid]" in gone.output, gone.output
    assert "VM 101 (precious)" in gone.output
    assert file.read_text() == before
    # Where nobody else has it, it goes.
    node.tool("qm", "set", "101", "--tags", "nested-pve-ha;stack-dev")
    gone = workspace.destroy()
    assert gone.code == 0, gone.output
    assert not file.exists()
