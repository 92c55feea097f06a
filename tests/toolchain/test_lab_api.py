"""The provider against the lab's API: what it creates reads back without a difference, changes, and goes again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.support.api_node import INTERFACES, PASSWORD, ApiNode, furnish, running
from tests.support.web import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.workspace import Run, Workspace

IMAGE = b"an installer image " * 1000
PROGRAM = """
import pulumi_proxmoxve as pve

provider = pve.Provider("pve", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"), insecure=True)


def options(**more):
    return pulumi.ResourceOptions(provider=provider, **more)


def nic(number):
    mac = f"BC:24:11:00:00:0{number}"
    return pve.VmLegacyNetworkDeviceArgs(bridge="vmbr0", mac_address=mac, firewall=False)


bridges = []
for number in (1, 2):
    bridge = pve.network.linux.Bridge(
        f"vmbr{number}", node_name="pve1", name=f"vmbr{number}", address=f"10.{number}0.1.1/24", comment=f"link {number}",
        opts=options(depends_on=bridges[-1:]),
    )
    bridges.append(bridge)
iso = pve.download.File(
    "iso", node_name="pve1", datastore_id="local", content_type="iso", url=cfg("url"), file_name="installer.iso",
    checksum=cfg("checksum"), checksum_algorithm="sha256", opts=options(),
)
# The bridge fills in speed limits that the provider never reads back (muhlba91/pulumi-proxmoxve#664).
unread = ["disks[0].speed"]
pve.VmLegacy(
    "node", node_name="pve1", vm_id=101, name="proxmox01", description="a nested node", tags=["dev", "nested"],
    started=True, boot_orders=["scsi0"], stop_on_destroy=True,
    cpu=pve.VmLegacyCpuArgs(cores=cfg("cores"), type="qemu64"),
    memory=pve.VmLegacyMemoryArgs(dedicated=1024, floating=0),
    disks=[pve.VmLegacyDiskArgs(interface="scsi0", datastore_id="local-lvm", size=32, file_format="raw")],
    network_devices=[nic(number) for number in range(4)],
    opts=options(depends_on=[*bridges, iso], ignore_changes=unread),
)
disk = pve.VmLegacyDiskArgs(interface="scsi0", datastore_id="shared", size=8, file_format="qcow2")
template = pve.VmLegacy(
    "template", node_name="pve1", vm_id=9000, name="debian", template=True, started=False, on_boot=False,
    disks=[disk], network_devices=[nic(8)], opts=options(ignore_changes=unread),
)
pve.VmLegacy(
    "clone", node_name="pve1", vm_id=200, name="vm01", clone=pve.VmLegacyCloneArgs(vm_id=9000, full=False),
    started=False, on_boot=False, migrate=True, disks=[disk], network_devices=[nic(9)],
    opts=options(depends_on=[template], ignore_changes=unread),
)
user = pve.UserLegacy("user", user_id="pulumi@pve", password=cfg("password"), opts=options())
pve.Acl("acl", path="/", role_id="Administrator", user_id=user.user_id, opts=options())
pve.user.Token("token", user_id=user.user_id, token_name="daily", privileges_separation=False, opts=options())
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApiNode]:
    root = tmp_path / "pve1"
    furnish(root, "pve1")
    (root / "dev/kvm").touch()
    with running(root) as found:
        yield found


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    served = tmp_path / "web"
    served.mkdir()
    (served / "installer.iso").write_bytes(IMAGE)
    with serving(served) as web:
        yield f"{web}/installer.iso"


def up(workspace: Workspace, node: ApiNode, url: str, cores: int) -> Run:
    checksum = hashlib.sha256(IMAGE).hexdigest()
    run = workspace.up(PROGRAM, endpoint=node.endpoint, password=PASSWORD, url=url, checksum=checksum, cores=cores)
    assert run.code == 0, run.output
    return run


def changed(run: Run) -> dict[str, list[str]]:
    """What a run did, but for what stayed as it was."""
    return {name: ops for name, ops in run.steps().items() if set(ops) - {"same", "refresh"}}


def test_what_the_provider_makes_reads_back_changes_and_goes(workspace: Workspace, node: ApiNode, url: str) -> None:
    first = up(workspace, node, url, cores=2)
    assert {"node", "clone", "vmbr1", "iso", "token"} <= changed(first).keys()
    assert node.config(101)["cores"] == 2
    assert node.get("/nodes/pve1/qemu/101/status/current")["status"] == "running"
    assert node.config(200)["scsi0"].startswith("shared:9000/base-9000-disk-0.qcow2/200/vm-200-disk-0.qcow2,")

    refreshed = workspace.refresh()
    assert refreshed.code == 0, refreshed.output
    assert changed(up(workspace, node, url, cores=2)) == {}

    assert changed(up(workspace, node, url, cores=4)) == {"node": ["update"]}
    assert node.config(101)["cores"] == 4
    assert node.get("/nodes/pve1/qemu/101/status/current")["status"] == "running"

    gone = workspace.destroy()
    assert gone.code == 0, gone.output
    assert node.get("/nodes/pve1/qemu") == []
    assert node.get("/nodes/pve1/storage/local/content", content="iso") == []
    left = [item["iface"] for item in node.get("/nodes/pve1/network")]
    assert left == [
        line.split()[1] for line in INTERFACES.splitlines() if line.startswith("iface ") and " lo " not in line
    ]
