"""Somebody else's VM under our number, beside plain `pulumi`: the provider goes by the number alone.

Before it is made a hook looks; what appears right after that look is recorded, and no more than that. Before it is deleted
the guard looks.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.support.workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.workspace import Run, Workspace

PROGRAM = """
import sys
from types import SimpleNamespace
import pulumi_proxmoxve as pve
sys.path.insert(0, cfg("root"))
from cluster.contract import Machine, Ownership
from components import hook_steps, ownership, steps

provider = pve.Provider("virtual-api", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"), insecure=True)
steps.ADMIN = hook_steps.ADMIN = cfg("admin")
secrets = '{"ssh_private_key": "none"}'
site = SimpleNamespace(ssh_secrets=pulumi.Output.secret(secrets), plain_ssh_secrets=secrets, stack="dev")
wanted = Ownership([Machine("pve1", "192.0.2.180", "ssh-ed25519 AAAA")], "dev", "VM", "101", "foreign-vmid")
hooks = ownership.before_changes("node-vm", site, wanted) if cfg("guarded") else None
vm = pve.VmLegacy(
    "node-vm", node_name="pve1", vm_id=101, name="proxmox01", tags=["nested-pve-ha", "stack-dev"], started=False,
    on_boot=False, boot_orders=["scsi0"], scsi_hardware="virtio-scsi-single", stop_on_destroy=True,
    disks=[pve.VmLegacyDiskArgs(interface="scsi0", datastore_id="local-lvm", size=8)],
    opts=pulumi.ResourceOptions(provider=provider, hooks=hooks),
)
if cfg("guarded"):
    ownership.guard("node-vm", site, wanted, vm, None)
"""
# The step as it is; what it would ask of the machine over SSH it asks of the directory that the node takes for "/".
STEP = """
import asyncio, subprocess, sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {project!r})
from cluster import call
from cluster.transport import members
from cluster.transport.ssh import Completed


async def run(command, *, timeout_s):
    command = command.replace("cd /", "cd {node}", 1).replace("/etc/pve/.members", "etc/pve/.members")
    done = await asyncio.to_thread(subprocess.run, ["sh", "-c", command], capture_output=True, text=True, timeout=timeout_s)
    return Completed(done.returncode, done.stdout, done.stderr)


@asynccontextmanager
async def connections(machines, *_, **__):
    yield {{machine.name: SimpleNamespace(machine=machine, run=run) for machine in machines}}


members.connections = connections
code = call.call(sys.argv[1:])
then = Path({after_look!r})
if then.exists():
    subprocess.run([sys.executable, then.rename(then.with_suffix(".done"))], check=True)
sys.exit(code)
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApiNode]:
    root = tmp_path / "pve1"
    furnish(root, "pve1")
    (root / "dev/kvm").touch()
    (root / "etc/pve/.members").write_text('{"nodename": "pve1"}')
    with running(root) as found:
        yield found


PRECIOUS = ("qm", "create", "101", "--name", "precious", "--memory", "333", "--tags", "customer")


@dataclasses.dataclass
class Site:
    """A workspace whose one VM is made on the node."""

    workspace: Workspace
    node: ApiNode
    directory: Path

    @property
    def config(self) -> Path:
        """The VM, as the node has it."""
        return self.node.pve / "nodes/pve1/qemu-server/101.conf"

    @property
    def after_look(self) -> Path:
        """What happens right after a look, once."""
        return self.directory / "after_look.py"

    def up(self, *, guarded: bool = True) -> Run:
        step = self.directory / "step.py"
        step.write_text(STEP.format(project=str(ROOT), node=self.node.root, after_look=str(self.after_look)))
        values = {"endpoint": self.node.endpoint, "password": PASSWORD, "root": str(ROOT), "guarded": guarded}
        return self.workspace.up(PROGRAM, **values, admin=f"{sys.executable} {step}")

    def somebody_makes_it(self) -> str:
        """The VM of somebody else's; its configuration."""
        assert self.node.tool(*PRECIOUS).returncode == 0
        text = self.config.read_text()
        assert "memory: 333" in text
        return text


@pytest.fixture
def site(workspace: Workspace, node: ApiNode, tmp_path: Path) -> Site:
    return Site(workspace, node, tmp_path)


def refused(run: Run) -> None:
    assert run.code != 0
    assert "error[foreign-vmid]" in run.output, run.output
    assert "VM 101 (precious)" in run.output


@pytest.mark.parametrize("guarded", [True, False])
def test_a_vm_that_took_the_number_of_ours_is_not_destroyed(site: Site, *, guarded: bool) -> None:
    run = site.up(guarded=guarded)
    assert run.code == 0, run.output
    site.node.tool("qm", "destroy", "101")
    before = site.somebody_makes_it()
    gone = site.workspace.destroy()
    if not guarded:
        assert not site.config.exists(), "where this fails, the provider has learnt to look: all the better"
        return
    refused(gone)
    assert site.config.read_text() == before
    # Where nobody else has it, it goes.
    site.node.tool("qm", "set", "101", "--tags", "nested-pve-ha;stack-dev")
    gone = site.workspace.destroy()
    assert gone.code == 0, gone.output
    assert not site.config.exists()


def test_a_vm_that_appears_right_after_the_look_is_left_as_it_is(site: Site) -> None:
    """The provider takes "already exists" for done: nothing but a record may come of that, and it is not destroyed."""
    tool = [sys.executable, "-m", f"pvelab.cli.{PRECIOUS[0]}", *PRECIOUS[1:]]
    site.after_look.write_text(
        f"import subprocess; subprocess.run({tool!r}, env={site.node.environment!r}, check=True)"
    )
    run = site.up()
    assert run.code == 0, run.output
    assert not site.after_look.exists()
    before = site.config.read_text()
    assert "memory: 333" in before
    assert "scsi0" not in before
    assert site.node.get("/nodes/pve1/qemu/101/status/current")["status"] == "stopped"
    refused(site.workspace.destroy())
    assert site.config.read_text() == before


def test_a_vm_that_is_there_before_the_look_is_refused_and_not_recorded(site: Site) -> None:
    before = site.somebody_makes_it()
    refused(site.up())
    assert site.config.read_text() == before
    assert "node-vm" not in site.workspace.resources()
