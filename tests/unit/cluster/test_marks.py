"""What a machine shows of the kinds that the provider makes: its own files, read by the command that runs there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from cluster import claims, marks, proxmox_ve
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.transport import ssh
from cluster.transport.ssh import Completed

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Machine("virtual", "192.0.2.1", "ssh-ed25519 AAAA")
FILES = {
    "etc/pve/.members": json.dumps({"nodename": "pve1", "cluster": {"name": "shop", "quorate": 1}}),
    "etc/pve/nodes/pve1/qemu-server/101.conf": "name: proxmox01\ntags: nested-pve-ha;stack-dev\n",
    "etc/pve/nodes/pve2/qemu-server/102.conf": "cores: 1\n\n[before]\nname: earlier\ntags: nested-pve-ha;stack-dev\n",
    "etc/pve/nodes/pve2/lxc/300.conf": "hostname: ct01\ntags: stack-dev;customer\n",
    "etc/pve/ha/resources.cfg": "vm: 101\n\tcomment stack-dev\n\tstate started\n\nct: 300\n\tstate started\n",
    "etc/pve/ha/rules.cfg": "node-affinity: near\n\tresources vm:101, ct:300\n\tcomment Stack-Dev\n\nresource-affinity: far\n\tresources ct:300\n",
    "etc/pve/ha/groups.cfg": "group: old\n\tnodes pve1\n\tcomment stack-dev\n",
    "etc/network/interfaces": "auto vmbr1\niface vmbr1 inet static\n\taddress 10.10.1.1/24\n#stack-dev\n\nauto vmbr2\niface vmbr2 inet manual\n",
    "etc/network/interfaces.new": "auto vmbr1\niface vmbr1 inet manual\n\nauto vmbr3\niface vmbr3 inet manual\n#stack-dev\n",
    "var/lib/nested-pve-ha/journal.json": '{"stacks": ["dev", "prod"]}',
    claims.FILE[1:]: "dev\n",
    "isos/stack-dev-virtual-pve.iso": "",
    "isos/stack-dev-a name.iso": "",
    "isos/of-others.iso": "",
}
NONE = "tags: none"
SEEN = {
    ("VM", "101", "pve1", True, "VM 101 (proxmox01) on pve1, tags: nested-pve-ha, stack-dev", (), False),
    ("VM", "102", "pve2", False, f"VM 102 (?) on pve2, {NONE}", (), False),
    ("CT", "300", "pve2", False, "CT 300 (ct01) on pve2, tags: stack-dev, customer", (), False),
    ("HA resource", "vm:101", "", True, "HA resource vm:101, comment: stack-dev", ("vm:101",), False),
    ("HA resource", "ct:300", "", False, "HA resource ct:300, comment: none", ("ct:300",), False),
    ("HA rule", "near", "", True, "HA rule near, comment: Stack-Dev", ("vm:101", "ct:300"), False),
    ("HA rule", "far", "", False, "HA rule far, comment: none", ("ct:300",), False),
    ("HA group", "old", "", True, "HA group old, comment: stack-dev", (), False),
    ("bridge", "vmbr1", "pve1", True, "interface vmbr1 on pve1, comment: stack-dev", (), False),
    ("bridge", "vmbr2", "pve1", False, "interface vmbr2 on pve1, comment: none", (), False),
    ("bridge", "vmbr3", "pve1", True, "interface vmbr3 on pve1, comment: stack-dev", (), True),
    ("image", "stack-dev-virtual-pve.iso", "pve1", True, "stack-dev-virtual-pve.iso on pve1", (), False),
    ("image", "stack-dev-a name.iso", "pve1", True, "stack-dev-a name.iso on pve1", (), False),
}


class Shell(ssh.Connection):
    """Runs commands with a directory of the test as the root of the file system."""

    def __init__(self, root: Path) -> None:
        self.machine = MACHINE
        self.root = root
        (root / "bin").mkdir()
        (root / "bin/hostname").write_text("#!/bin/sh\necho pve1.lab.internal\n")
        (root / "bin/hostname").chmod(0o755)

    async def run(self, command: str, **_options: Any) -> Completed:  # noqa: ANN401 - as there
        return await asyncio.to_thread(self._in_shell, command)

    def _in_shell(self, command: str) -> Completed:
        here = command.replace("cd / &&", f"cd {self.root} &&").replace(" /etc/pve", " etc/pve")
        environment = os.environ | {"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=False, env=environment)
        return Completed(done.returncode, done.stdout, done.stderr)


def look(root: Path, files: dict[str, str], images: str | None = None) -> marks.Look:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return asyncio.run(proxmox_ve.look(Shell(root), "dev", images))


def test_a_machine_shows_what_is_there_and_what_carries_the_mark(tmp_path: Path) -> None:
    seen = look(tmp_path, FILES, str(tmp_path / "isos"))
    things = {
        (thing.kind, thing.name, thing.node, thing.ours, thing.shown, thing.about, thing.pending)
        for thing in seen.things
    }
    assert things == SEEN
    assert (seen.machine, seen.node, seen.quorate, seen.cluster) == ("virtual", "pve1", True, "shop")
    assert (seen.stacks, seen.owner) == (("dev", "prod"), "dev")


@pytest.mark.parametrize(
    ("members", "quorate", "cluster"),
    [
        ("", False, ""),
        ('{"nodename": "pve1"}', True, ""),
        ('{"cluster": {"name": "shop", "quorate": 0}}', False, "shop"),
        ('{"cluster": {"name": "shop", "quorate": 1}}', True, "shop"),
    ],
)
def test_only_a_mounted_file_system_with_quorum_speaks_for_a_cluster(
    tmp_path: Path, members: str, cluster: str, *, quorate: bool
) -> None:
    seen = look(tmp_path, {"etc/pve/.members": members})
    assert (seen.quorate, seen.cluster, seen.things, seen.stacks, seen.owner) == (quorate, cluster, (), (), "")


@pytest.mark.parametrize("journal", ["", "broken", "[]", '{"stacks": 1}', "{}"])
def test_a_damaged_journal_names_no_stack(tmp_path: Path, journal: str) -> None:
    assert look(tmp_path, {"var/lib/nested-pve-ha/journal.json": journal}).stacks == ()


def test_an_answer_that_is_none_is_refused_with_what_was_said() -> None:
    class Broken(Shell):
        def __init__(self) -> None:
            self.machine = MACHINE

        async def run(self, command: str, **options: Any) -> Completed:  # noqa: ANN401 - as there
            del command, options
            await asyncio.sleep(0)
            return Completed(255, "no base64\n", "tar: command not found\n")

    with pytest.raises(AdminError) as refused:
        asyncio.run(proxmox_ve.look(Broken(), "dev"))
    assert (refused.value.code, refused.value.observed) == ("command-failed", "tar: command not found")


def test_machines_that_cannot_speak_are_named() -> None:
    looks = {name: marks.Look(name, name, quorate, ()) for name, quorate in (("a", True), ("b", False), ("c", False))}
    with pytest.raises(AdminError) as refused:
        proxmox_ve.refuse_silent(looks)
    assert refused.value.code == "command-failed"
    assert "/etc/pve of b, c is" in refused.value.observed
    proxmox_ve.refuse_silent({"a": looks["a"]})


@pytest.mark.parametrize("code", ["foreign-vmid", "foreign-bridge", "guest-foreign", "ha-foreign"])
def test_what_is_somebody_elses_is_refused_by_the_name_of_its_kind(code: str) -> None:
    error = marks.foreign(code, "taken", observed="seen", expected="nothing", fix="choose")
    assert (error.code, error.what, error.observed, error.expected, error.fix) == (
        code, "taken", "seen", "nothing", "choose"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("thing", "kind", "name", "same"),
    [
        (("VM", "101"), "CT", "101", True),
        (("CT", "101"), "VM", "101", True),
        (("VM", "101"), "VM", "102", False),
        (("bridge", "vmbr1"), "bridge", "vmbr1", True),
        (("HA rule", "near"), "HA group", "near", False),
    ],
)
def test_guests_of_both_kinds_share_their_numbers(thing: tuple[str, str], kind: str, name: str, *, same: bool) -> None:
    there = marks.Thing(*thing, "pve1", ours=True, shown="")
    assert marks.same(there, kind, name) is same


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("VM", "tags nested-pve-ha and stack-dev"),
        ("CT", "tags nested-pve-ha and stack-dev"),
        ("bridge", "comment stack-dev"),
    ],
)
def test_the_mark_of_a_kind_is_told(kind: str, mark: str) -> None:
    assert marks.mark(marks.Thing(kind, "x", "", ours=False, shown=""), "dev") == mark


def test_an_image_has_a_name_of_its_stack_and_its_host() -> None:
    assert marks.image_name("dev", "virtual", "https://example/iso/pve.iso") == "stack-dev-virtual-pve.iso"
