"""qm, pct, pvesh, pvesm, pveum and pveversion of the lab, as the real ones print and exit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.api_node import ApiNode, furnish, stop_guests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApiNode]:
    """A node whose API does not run: the tools need none."""
    furnish(tmp_path, "pve1")
    yield ApiNode(tmp_path, "pve1", "127.0.0.1")
    stop_guests(tmp_path)


def done(node: ApiNode, tool: str, *arguments: str) -> str:
    run = node.tool(tool, *arguments)
    assert (run.returncode, run.stderr) == (0, ""), run
    return run.stdout


def test_a_machines_life_on_the_command_line(node: ApiNode) -> None:
    made = done(
        node, "qm", "create", "100", "--name", "vm01", "--memory", "512", "--kvm", "0", "--scsi0", "local-lvm:8"
    )
    assert made == "successfully created disk 'local-lvm:vm-100-disk-0'\n"
    assert done(node, "qm", "set", "100", "--ide2", "none,media=cdrom") == "update VM 100: -ide2 none,media=cdrom\n"
    assert "ide2: none,media=cdrom\n" in done(node, "qm", "config", "100")
    assert done(node, "qm", "set", "100", "--delete", "ide2") == "update VM 100: -delete ide2\n"
    assert "ide2" not in done(node, "qm", "config", "100")
    assert done(node, "qm", "start", "100") == ""
    assert done(node, "qm", "status", "100") == "status: running\n"
    head, row = done(node, "qm", "list").splitlines()
    assert head == "      VMID NAME                 STATUS     MEM(MB)    BOOTDISK(GB) PID       "
    assert re.fullmatch(r"       100 vm01                 running    512                8\.00 \d+ +", row)
    assert done(node, "qm", "stop", "100") == ""
    assert done(node, "qm", "destroy", "100", "--purge") == ""
    assert done(node, "qm", "list") == ""


def test_refusals_before_the_work_exit_with_255(node: ApiNode) -> None:
    done(node, "qm", "create", "100", "--kvm", "0")
    for arguments, said in (
        (("start", "101"), "Configuration file 'nodes/pve1/qemu-server/101.conf' does not exist\n"),
        (
            ("set", "100", "--flavour", "x"),
            "Unknown option: flavour\n400 unable to parse option\nqm set <vmid> [OPTIONS]\n",
        ),
        (("set", "100"), "no options specified\n"),
    ):
        run = node.tool("qm", *arguments)
        assert (run.returncode, run.stderr) == (255, said)
    refused = node.tool("qm", "set", "100", "--cores", "many")
    assert refused.returncode == 255
    assert refused.stderr.startswith(
        "400 Parameter verification failed.\ncores: type check ('integer') failed - got 'many'\n"
    )


def test_a_template_that_failed_in_its_task_still_exits_0(node: ApiNode) -> None:
    done(node, "qm", "create", "100", "--kvm", "0", "--scsi0", "local-lvm:1")
    (node.root / "var/lib/pve-lab/lvm/pve/vm-100-disk-0").unlink()
    run = node.tool("qm", "template", "100")
    assert (run.returncode, run.stderr) == (0, "volume 'local-lvm:vm-100-disk-0' does not exist\n")
    assert "base-" not in done(node, "qm", "config", "100")
    start = node.tool("qm", "start", "100")
    assert (start.returncode, start.stderr) == (255, "you can't start a vm if it's a template\n")


def test_a_failed_start_exits_with_255(node: ApiNode) -> None:
    done(node, "qm", "create", "100")
    run = node.tool("qm", "start", "100")
    assert run.returncode == 255
    assert run.stderr.startswith("KVM virtualisation configured, but not available.")


def test_a_stale_lock_is_taken_off(node: ApiNode) -> None:
    done(node, "qm", "create", "100", "--kvm", "0", "--lock", "migrate")
    assert node.tool("qm", "start", "100").stderr == "VM is locked (migrate)\n"
    done(node, "qm", "unlock", "100")
    done(node, "qm", "start", "100")


def test_storages_are_listed_in_columns(node: ApiNode) -> None:
    lines = done(node, "pvesm", "status").splitlines()
    assert lines[0] == "Name             Type     Status           Total            Used       Available        %"
    assert re.fullmatch(r"local-lvm     lvmthin     active +\d+ +\d+ +\d+ +\d+\.\d\d%", lines[2])
    done(node, "qm", "create", "100", "--scsi0", "local-lvm:2")
    assert done(node, "pvesm", "path", "local-lvm:vm-100-disk-0") == "/dev/pve/vm-100-disk-0\n"
    listed = done(node, "pvesm", "list", "local-lvm").splitlines()
    assert listed == [
        "Volid                   Format  Type            Size VMID",
        "local-lvm:vm-100-disk-0 raw     images    2147483648 100",
    ]


def test_users_and_their_rights_on_the_command_line(node: ApiNode) -> None:
    done(node, "pveum", "user", "add", "pulumi@pve", "--comment", "day to day")
    done(node, "pveum", "acl", "modify", "/", "--users", "pulumi@pve", "--roles", "Administrator")
    run = node.tool("pveum", "passwd", "pulumi@pve", stdin="hunter2 hunter2\n")
    assert (run.returncode, run.stderr) == (0, "")
    assert (node.pve / "user.cfg").read_text().splitlines()[0] == "user:pulumi@pve:1:0::::day to day::"
    assert (node.pve / "priv/shadow.cfg").read_text().startswith("pulumi:$5$")
    rules = json.loads(done(node, "pvesh", "get", "/access/acl", "--output-format", "json"))
    assert rules == [{"path": "/", "propagate": 1, "roleid": "Administrator", "type": "user", "ugid": "pulumi@pve"}]
    assert node.tool("pveum", "user", "add", "pulumi@pve").stderr == (
        "create user failed: user 'pulumi@pve' already exists\n"
    )


def test_any_method_can_be_called(node: ApiNode) -> None:
    assert json.loads(done(node, "pvesh", "get", "/version", "--output-format", "json")).keys() == {
        "version",
        "release",
        "repoid",
    }
    done(node, "pvesh", "create", "/nodes/localhost/qemu", "--vmid", "100", "--name", "vm01")
    assert "│ vm01 " in done(node, "pvesh", "get", "/nodes/pve1/qemu")
    missing = node.tool("pvesh", "get", "/nodes/pve1/quantum")
    assert (missing.returncode, "not implemented" in missing.stderr) == (255, True)
    failed = node.tool("pvesh", "create", "/nodes/localhost/qemu/100/status/start")
    assert failed.returncode == 255


def test_the_version_in_one_line(node: ApiNode) -> None:
    assert re.fullmatch(r"pve-manager/\d+\.\d+\.\d+/[0-9a-f]+ \(running kernel: \S+\)\n", done(node, "pveversion"))
