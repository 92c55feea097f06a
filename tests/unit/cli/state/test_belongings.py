"""Whose is what is there: by its mark alone, recorded or not."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import subprocess
import tarfile
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.looks import image_check
from cli.state import adoption, belongings, ownership
from cli.state.belongings import CLUSTER
from cluster import downloads, marks, proxmox_ve
from cluster.errors import AdminError
from cluster.transport import members
from cluster.transport.ssh import Completed
from components.recorded import BRIDGE_TYPE, RESOURCE_TYPE, RULE_TYPE, VM_TYPE
from config import topology
from config.model import VmGuest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cli.description import Description
    from cluster.marks import Look
    from config.model import OuterHost

OURS = "tags: nested-pve-ha;stack-dev"
THEIRS = "name: precious\nmemory: 333\ntags: customer"
HOST = "virtual"
INTERFACES = """\
auto vmbr0
iface vmbr0 inet static
\taddress 192.168.0.180/24
\tbridge-ports eth0
#uplink

auto vmbr1
iface vmbr1 inet static
\taddress 10.10.1.1/24
\tbridge-ports none
#stack-dev

source /etc/network/interfaces.d/*
"""


def look(files: dict[str, str], node: str = HOST, stack: str = "dev", cluster: str = "dev") -> Look:
    return marks.Look(node, node, quorate=True, things=tuple(proxmox_ve.read(files, node, stack)), cluster=cluster)


def guest(vmid: int, text: str, node: str = HOST, kind: str = "qemu-server") -> dict[str, str]:
    return {f"etc/pve/nodes/{node}/{kind}/{vmid}.conf": text}


def entry(type_: str, inputs: dict[str, Any], provider: str = "cluster-api", name: str = "x") -> dict[str, Any]:
    return {
        "type": type_,
        "urn": f"urn:pulumi:dev::p::{type_}::{name}",
        "inputs": inputs,
        "provider": f"urn:pulumi:dev::p::pulumi:providers:proxmoxve::{provider}::1",
    }


def state(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"resources": list(entries)}}


VM01 = entry(VM_TYPE, {"vmId": 200, "nodeName": "proxmox01"}, name="vm01-vm")
HA01 = entry(RESOURCE_TYPE, {"resourceId": "vm:200"}, name="vm01-ha")
RULE01 = entry(RULE_TYPE, {"rule": "vm01-placement"}, name="vm01-ha-rule")
RESOURCES = "etc/pve/ha/resources.cfg"
RULES = "etc/pve/ha/rules.cfg"


def refused(dev: Description, recorded: dict[str, Any], place: str, files: dict[str, str]) -> AdminError:
    with pytest.raises(AdminError) as caught:
        ownership.compare(dev, recorded, {place: [look(files)]})
    return caught.value


@pytest.mark.parametrize("recorded", [state(), state(VM01)], ids=["unrecorded", "recorded"])
@pytest.mark.parametrize("kind", ["qemu-server", "lxc"])
@pytest.mark.parametrize("vmid", [200, 300, 9000], ids=["vm", "container", "template"])
def test_a_guest_of_somebody_else_is_refused_by_name_whatever_is_recorded(
    dev: Description, recorded: dict[str, Any], kind: str, vmid: int
) -> None:
    """It was taken over, and later destroyed."""
    error = refused(dev, recorded, CLUSTER, guest(vmid, THEIRS, "proxmox03", kind))
    assert error.code == "guest-foreign"
    assert f"{vmid} (" in error.observed
    assert "customer" in error.observed
    assert error.fix.startswith(f"give {'vm01' if vmid == 200 else 'ct01' if vmid == 300 else 'debian'}")
    assert "another vmid" in error.fix
    # Only the status compares it with the record: whoever marks a colleague's VM has it destroyed.
    assert not any(word in error.fix for word in ("tags", "put the mark"))
    assert ("`make status STACK=dev` shows" in error.fix) is (vmid == 200 and recorded == state(VM01))


@pytest.mark.parametrize("text", ["", "lock: clone", "tags: stack-dev", "tags: nested-pve-ha;stack-prod"])
def test_half_a_mark_is_none(dev: Description, text: str) -> None:
    assert refused(dev, state(), CLUSTER, guest(200, text)).code == "guest-foreign"


def test_a_snapshot_says_nothing_of_a_guest(dev: Description) -> None:
    text = f"{THEIRS}\n[before]\n{OURS}\n"
    assert refused(dev, state(), CLUSTER, guest(200, text)).code == "guest-foreign"


def test_a_vm_of_a_node_is_looked_for_on_all_nodes_of_the_hosts_cluster(dev: Description) -> None:
    error = refused(dev, state(), HOST, guest(102, THEIRS, "elsewhere"))
    assert error.code == "foreign-vmid"
    assert "on elsewhere" in error.observed


def test_an_own_vm_that_was_migrated_is_named_with_the_way_back(dev: Description) -> None:
    """It was installed anew, beside itself."""
    for recorded in (state(), state(entry(VM_TYPE, {"vmId": 102, "nodeName": HOST}, "virtual-api"))):
        error = refused(dev, recorded, HOST, guest(102, OURS, "elsewhere"))
        assert error.code == "vm-moved"
        assert "qm migrate 102 virtual --online" in error.fix


def test_a_bridge_of_somebody_else_is_refused(dev: Description) -> None:
    files = {"etc/network/interfaces": INTERFACES.replace("#stack-dev", "#mine")}
    error = refused(dev, state(), HOST, files)
    assert error.code == "foreign-bridge"
    assert "vmbr1" in error.observed
    assert "vmbr0" not in error.observed  # that one is nobody's concern


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({RESOURCES: "vm: 200\n\tstate started\n"}, "vm:200"),
        ({RULES: "node-affinity: vm01-placement\n\tcomment by hand\n\tresources vm:100\n"}, "by hand"),
    ],
)
@pytest.mark.parametrize("recorded", [state(), state(HA01, RULE01)], ids=["unrecorded", "recorded"])
def test_a_registration_of_somebody_else_is_refused(
    dev: Description, files: dict[str, str], named: str, recorded: dict[str, Any]
) -> None:
    error = refused(dev, recorded, CLUSTER, files)
    assert error.code == "ha-foreign"
    assert named in error.observed


def test_a_recorded_registration_of_our_own_guest_whose_comment_was_edited_is_left_to_the_provider(
    dev: Description,
) -> None:
    files = guest(200, OURS, "proxmox01")
    files |= {RESOURCES: "vm: 200\n\tcomment edited\n", RULES: "node-affinity: vm01-placement\n\tresources vm:200\n"}
    found = ownership.compare(dev, state(VM01, HA01, RULE01), {CLUSTER: [look(files)]})
    assert found == ownership.Findings()


def test_what_carries_the_mark_and_is_not_recorded_is_adopted(dev: Description) -> None:
    cluster = guest(200, OURS, "proxmox02") | guest(9000, OURS, "proxmox01") | guest(300, OURS, "proxmox01", "lxc")
    cluster |= {
        RESOURCES: "vm: 200\n\tcomment stack-dev\n\nct: 300\n\tcomment stack-dev\n",
        RULES: "node-affinity: vm01-placement\n\tcomment stack-dev\n\tresources vm:200\n",
    }
    host = guest(101, OURS) | {"etc/network/interfaces": INTERFACES}
    looks = {CLUSTER: [look(cluster)], HOST: [look(host)]}
    found = ownership.compare(dev, state(HA01), looks)
    assert [each.logical for each in found.adopt] == [
        "virtual-vmbr1",
        "proxmox01-vm",
        "vm01-vm",
        "vm01-ha-rule",
        "ct01-ha",
    ]
    assert (found.forget, found.withdraw) == ([], [])


def test_what_is_recorded_under_another_name_is_not_recorded_twice(dev: Description) -> None:
    before = entry(VM_TYPE, {"vmId": 200, "nodeName": "proxmox01"}, name="vm00-vm")
    assert not ownership.compare(dev, state(before), {CLUSTER: [look(guest(200, OURS))]}).adopt


def test_a_bridge_that_was_never_brought_up_is_withdrawn(dev: Description) -> None:
    planned = INTERFACES + "auto vmbr2\niface vmbr2 inet static\n\taddress 10.20.1.1/24\n#stack-dev\n"
    files = {"etc/network/interfaces": INTERFACES, "etc/network/interfaces.new": planned}
    bridge = entry(BRIDGE_TYPE, {"nodeName": HOST, "name": "vmbr1"}, "virtual-api")
    found = ownership.compare(dev, state(bridge), {HOST: [look(files)]})
    assert [each.name for each in found.withdraw] == ["vmbr2"]
    assert not found.adopt


def test_a_recorded_bridge_that_was_never_brought_up_is_withdrawn_and_made_again(dev: Description) -> None:
    """A killed engine records what it was making; the provider takes the plan for the bridge, and leaves it at that."""
    up, planned = INTERFACES.partition("auto vmbr1")[0], INTERFACES
    files = {"etc/network/interfaces": up, "etc/network/interfaces.new": planned}
    bridge = entry(BRIDGE_TYPE, {"nodeName": HOST, "name": "vmbr1"}, "virtual-api")
    found = ownership.compare(dev, state(bridge), {HOST: [look(files)]})
    assert [each.name for each in found.withdraw] == ["vmbr1"]
    assert [(each.urn, thing) for each, thing in found.forget] == [(bridge["urn"], None)]
    files["etc/network/interfaces"] = INTERFACES
    assert ownership.compare(dev, state(bridge), {HOST: [look(files)]}) == ownership.Findings()


def test_a_machine_beside_the_cluster_says_nothing_of_what_the_cluster_has(dev: Description) -> None:
    """While no member answered, a node that had not joined yet made `down` forget all guests, and leave them."""
    beside = look(guest(200, OURS, "proxmox01"), "proxmox03", cluster="")
    known = belongings.recorded(state(VM01, HA01))
    assert ownership.lost(known, {CLUSTER: [beside]}) == []
    assert not ownership.compare(dev, state(), {CLUSTER: [beside]}).adopt
    member = look({}, "proxmox01")
    assert [each.urn for each, _ in ownership.lost(known, {CLUSTER: [beside, member]})] == [VM01["urn"], HA01["urn"]]


def test_what_a_machine_beside_the_cluster_has_is_refused_unless_a_member_knows_better(dev: Description) -> None:
    beside = look(guest(200, THEIRS, "proxmox03"), "proxmox03", cluster="")
    with pytest.raises(AdminError) as caught:
        ownership.compare(dev, state(), {CLUSTER: [beside]})
    assert caught.value.code == "guest-foreign"
    member = look(guest(200, OURS, "proxmox01"), "proxmox01")
    for looks in ([beside, member], [member, beside]):
        assert ownership.compare(dev, state(VM01), {CLUSTER: looks}) == ownership.Findings()


def test_what_is_recorded_and_no_more_described_is_forgotten_when_it_is_somebody_elses_by_now(
    dev: Description,
) -> None:
    """A VM that took the number of ours after ours was removed by hand was destroyed with our record of it."""
    without = type(dev)(
        dev.stack, dev.config.model_copy(update={"guests": [g for g in dev.config.guests if not isinstance(g, VmGuest)]}),
        dev.credentials,
    )  # fmt: skip
    files = guest(200, THEIRS, "proxmox02") | {RESOURCES: "vm: 200\n\tcomment theirs\n"}
    known = state(VM01, HA01)
    found = ownership.compare(without, known, {CLUSTER: [look(files)]})
    assert [each.urn for each, _ in found.forget] == [VM01["urn"], HA01["urn"]]
    lost = ownership.lost(belongings.recorded(known), {CLUSTER: [look(files)]})
    assert [each.urn for each, _ in lost] == [VM01["urn"], HA01["urn"]]
    ours = guest(200, OURS, "proxmox02") | {RESOURCES: "vm: 200\n\tcomment stack-dev\n"}
    assert not ownership.lost(belongings.recorded(known), {CLUSTER: [look(ours)]})


def test_what_is_recorded_no_more_described_and_gone_is_forgotten(dev: Description) -> None:
    """The provider fails where it is to delete what is gone."""
    known = belongings.recorded(state(HA01))
    assert [thing for _, thing in ownership.lost(known, {CLUSTER: [look({})]})] == [None]
    assert not ownership.lost(known, {HOST: [look({})]})
    assert ownership.compare(dev, state(HA01), {CLUSTER: [look({})]}) == ownership.Findings()  # described: made anew


def test_a_host_whose_files_are_not_there_is_refused() -> None:
    """Its VMs would be taken for gone, and installed anew."""
    mounted = look({})
    proxmox_ve.refuse_silent({HOST: mounted})
    with pytest.raises(AdminError) as refused:
        proxmox_ve.refuse_silent({HOST: marks.Look(HOST, HOST, quorate=False, things=())})
    assert "pve-cluster" in refused.value.fix


def test_a_forgotten_guests_last_look_is_forgotten_with_it_and_no_other() -> None:
    """It refuses a guest of somebody else, and nothing is deleted any more."""
    mine, other = {**VM01, "parent": "urn:vm01"}, entry(VM_TYPE, {"vmId": 201}, name="vm02-vm")
    steps = [
        {"urn": f"urn::{name}", "type": "command:local:Command", "parent": f"urn:{name[:4]}"}
        for name in ("vm01-ha-ready", "vm01-verify-guest", "vm02-ha-ready")
    ]
    found = ownership.with_last_looks(state(mine, other, *steps), [VM01["urn"]])
    assert sorted(found) == sorted([VM01["urn"], "urn::vm01-ha-ready"])


def test_a_place_that_nobody_looked_at_is_left_alone(dev: Description) -> None:
    assert ownership.compare(dev, state(VM01), {}) == ownership.Findings()


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("", False),  # /etc/pve is not mounted
        ('{"nodename": "pve1", "version": 0}', True),
        ('{"nodename": "pve1", "cluster": {"name": "home", "quorate": 1}}', True),
        ('{"nodename": "pve1", "cluster": {"name": "home", "quorate": 0}}', False),
    ],
)
def test_only_who_has_quorum_speaks_for_a_cluster(members: str, expected: bool) -> None:  # noqa: FBT001 - a case
    assert proxmox_ve.quorate(members) is expected
    assert proxmox_ve.cluster(members) == ("home" if "home" in members else "")


def test_one_command_reads_a_whole_machine(tmp_path: Path) -> None:
    """As it is run there, on a tree of its own: names with spaces, no UTF-8, and files that are not there."""
    directory = tmp_path / "etc/pve/nodes/virtual/qemu-server"
    directory.mkdir(parents=True)
    (directory / "200.conf").write_bytes(b"#caf\xe9\n" + THEIRS.encode())
    (directory / "201.conf.tmp.1").write_text(OURS)
    command = proxmox_ve.READ.replace("cd / ", f"cd {tmp_path} ") + proxmox_ve.NAMES.format(directory=f"'{directory}'")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    _, archive, _, names = (base64.b64decode(line) for line in done.stdout.splitlines())
    (thing,) = proxmox_ve.read(proxmox_ve.unpack(archive), "virtual", "dev")
    assert (thing.kind, thing.name, thing.ours) == (marks.VM, "200", False)
    assert sorted(names.decode().split()) == ["200.conf", "201.conf.tmp.1"]


def test_links_are_read_and_a_domain_is_no_part_of_a_nodes_name(tmp_path: Path) -> None:
    """A configuration management keeps /etc/network/interfaces elsewhere; an installed Debian may be named in full."""
    (tmp_path / "etc/network").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/interfaces").write_text(INTERFACES)
    (tmp_path / "etc/network/interfaces").symlink_to(tmp_path / "kept/interfaces")
    (tmp_path / "iso").symlink_to(tmp_path / "kept")
    (tmp_path / "hostname").write_text("#!/bin/sh\necho virtual.example.com\n")
    (tmp_path / "hostname").chmod(0o755)
    command = proxmox_ve.READ.replace("cd / ", f"cd {tmp_path} ") + proxmox_ve.NAMES.format(
        directory=f"'{tmp_path}/iso'"
    )
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env=environment)
    about, archive, _, names = (base64.b64decode(line) for line in done.stdout.splitlines())
    assert about.decode().partition("\n")[0] == "virtual"
    assert "vmbr1" in {thing.name for thing in proxmox_ve.read(proxmox_ve.unpack(archive), "virtual", "dev")}
    assert names.decode().split() == ["interfaces"]


def test_a_machine_whose_pve_hangs_says_so_and_nobody_waits_for_what_hangs_in_it(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("#!/bin/sh\nexec sleep 20\n")
    (tmp_path / "stat").chmod(0o755)
    command = proxmox_ve.READ.replace("read -rt 10 ", "read -rt 0.1 ")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    # It returns when the command's output is at its end: what hangs holds none of it.
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, env=environment, timeout=10)
    assert (done.returncode, done.stdout) == (proxmox_ve.HANGS, b"")


def test_a_pve_that_hangs_is_named() -> None:
    async def run(_command: str, **_more: object) -> Completed:
        await asyncio.sleep(0)
        return Completed(proxmox_ve.HANGS, "", "")

    connection: Any = SimpleNamespace(machine=SimpleNamespace(name="pve2"), run=run)
    with pytest.raises(AdminError) as refused:
        asyncio.run(proxmox_ve.look(connection, "dev"))
    assert (refused.value.code, refused.value.what) == ("pve-filesystem-hangs", "/etc/pve of pve2 cannot be read")


def test_an_empty_machine_has_nothing() -> None:
    stream = io.BytesIO()
    tarfile.open(fileobj=stream, mode="w").close()
    assert proxmox_ve.unpack(stream.getvalue()) == {}


NODE = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
PREP = "urn:pulumi:dev::p::nested-pve-ha:index:HostPrep::virtual"
API = "urn:pulumi:dev::p::nested-pve-ha:index:HostPrep$pulumi:providers:proxmoxve::virtual-api"
VM_URN = f"urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode${VM_TYPE}::proxmox01-vm"


def created(urn: str, type_: str, new: dict[str, Any], op: str = "create") -> dict[str, Any]:
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": type_, "new": new}}}


EVENTS = [
    created(PREP, "nested-pve-ha:index:HostPrep", {"custom": False, "parent": ""}),
    created(API, "pulumi:providers:proxmoxve", {"custom": True, "parent": PREP, "inputs": {"username": "root@pam", "password": "[secret]"}}),
    created(NODE, "nested-pve-ha:index:NestedPveNode", {"custom": False, "parent": ""}),
    created(VM_URN, VM_TYPE, {"custom": True, "parent": NODE, "provider": f"{API}::unknown", "protect": True, "inputs": {"vmId": 101, "nodeName": "virtual"}}),
    created(f"{NODE}-step", "command:remote:Command", {"custom": True, "parent": NODE, "inputs": {}}),
]  # fmt: skip
THING: Any = SimpleNamespace(type=VM_TYPE, logical="proxmox01-vm")


def test_an_adopted_thing_is_recorded_with_its_parents_and_its_provider_and_nothing_else() -> None:
    found, urns = adoption.adopt(
        {"deployment": {}}, adoption.planned(EVENTS), [THING], lambda name: f"secret of {name}"
    )
    entries = found["deployment"]["resources"]
    assert urns == [VM_URN]
    assert [each["urn"] for each in entries] == [PREP, API, NODE, VM_URN]
    provider, vm = entries[1], entries[3]
    assert provider["inputs"]["password"]["plaintext"] == '"secret of virtual-api"'
    assert vm["id"] == "101"
    assert vm["provider"] == f"{API}::{provider['id']}"
    assert vm["protect"] is True
    assert vm["inputs"] == {"vmId": 101, "nodeName": "virtual"}


def test_what_was_made_in_the_place_of_something_recorded_takes_it_and_that_is_still_to_be_deleted() -> None:
    """A run that died in the middle of a replacement: the provider said for ever that the VM exists."""
    old = {
        "urn": VM_URN,
        "type": VM_TYPE,
        "custom": True,
        "id": "100",
        "inputs": {"vmId": 100},
        "provider": f"{API}::7",
    }
    known: list[dict[str, Any]] = [
        {"urn": API, "type": "pulumi:providers:proxmoxve", "custom": True, "id": "7"},
        old,
        {"urn": "urn::inside", "type": "command:remote:Command", "deletedWith": VM_URN},
        {"urn": "urn::after", "type": "command:local:Command", "dependencies": [VM_URN, "urn::inside"]},
    ]
    before = {"deployment": {"resources": known}}
    events = [{"resourcePreEvent": {"metadata": {**EVENTS[3]["resourcePreEvent"]["metadata"], "op": op}}}
              for op in ("create-replacement", "replace", "delete-replaced")]  # fmt: skip
    found, urns = adoption.adopt(before, adoption.planned(events), [THING], lambda name: name)
    first, new, replaced, after = found["deployment"]["resources"]
    assert urns == [VM_URN]
    assert (first["urn"], new["id"], new["provider"], new.get("delete")) == (API, "101", f"{API}::7", None)
    assert replaced == {**old, "delete": True}
    assert after["dependencies"] == [VM_URN]  # what was done inside is to be done in the new one
    assert known[1] == old


def test_what_is_recorded_already_is_used_as_it_is() -> None:
    known: list[dict[str, Any]] = [
        {"urn": PREP, "type": "nested-pve-ha:index:HostPrep", "custom": False},
        {"urn": API, "type": "pulumi:providers:proxmoxve", "custom": True, "id": "7"},
    ]
    before = {"deployment": {"resources": known}}
    found, _ = adoption.adopt(before, adoption.planned(EVENTS[2:]), [THING], lambda name: name)
    entries = found["deployment"]["resources"]
    assert [each["urn"] for each in entries] == [PREP, API, NODE, VM_URN]
    assert entries[3]["provider"] == f"{API}::7"
    assert len(before["deployment"]["resources"]) == 2


@pytest.mark.parametrize(
    ("printed", "expected"),
    [("aa11  /x/stack-dev-a.iso", True), ("AA11  /x", True), ("bb22  /x", False), ("", False)],
)
def test_an_image_of_other_content_is_loaded_again(printed: str, expected: bool) -> None:  # noqa: FBT001 - a case
    assert downloads.has_checksum(printed, "sha256:aa11") is expected
    assert not downloads.has_checksum(printed, None)


class There:
    """An outer host whose directory of images is one of the test's."""

    def __init__(self, host: OuterHost, directory: Path, path: str) -> None:
        self.machine = SimpleNamespace(name=host.name)
        self.host, self.directory, self.path = host, directory, path

    async def run(self, command: str, **_limits: float) -> Completed:
        here = command.replace(topology.image_directory(self.host, "dev"), str(self.directory))
        done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=False, env={"PATH": self.path})  # noqa: ASYNC221
        return Completed(done.returncode, done.stdout, done.stderr)


def with_image(
    dev: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, path: str
) -> tuple[Description, belongings.DescribedThing]:
    """A description whose installer is `as downloaded`, and that of its host."""
    host = dev.config.outer_hosts[0]
    image = next(need for need in belongings.described(dev) if need.kind == marks.IMAGE)
    (tmp_path / "mine.iso").touch()
    if content is not None:
        (tmp_path / image.name).write_text(content)
    installer = host.installer.model_copy(update={"checksum": f"sha256:{sha256(b'as downloaded').hexdigest()}"})
    config = dev.config.model_copy(update={"outer_hosts": (host.model_copy(update={"installer": installer}),)})

    @asynccontextmanager
    async def connections(*_: object, **__: object) -> AsyncIterator[dict[str, There]]:
        yield {host.name: There(host, tmp_path, path)}

    monkeypatch.setattr(members, "connections", connections)
    return replace(dev, config=config), image


@pytest.mark.parametrize("content", ["as downloaded", "another", None])
def test_an_image_of_other_content_is_removed_so_that_it_can_be_downloaded_anew(
    content: str | None, dev: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxmox VE compares what is there with the checksum, and downloads nothing over another file."""
    described, image = with_image(dev, tmp_path, monkeypatch, content, os.environ["PATH"])
    good = content == "as downloaded"
    assert image_check.intact(described, [image]) == ([image] if good else [])
    assert {file.name for file in tmp_path.iterdir()} == {"mine.iso", *([image.name] if good else [])}


def test_who_only_looks_removes_no_image(dev: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described, image = with_image(dev, tmp_path, monkeypatch, "another", os.environ["PATH"])
    assert image_check.intact(described, [image], remove=False) == []
    assert (tmp_path / image.name).read_text() == "another"


def test_an_image_that_cannot_be_read_for_a_moment_is_neither_used_nor_removed(
    dev: Description, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path_factory.mktemp("programs")
    (programs / "sha256sum").write_text('#!/bin/sh\necho "sha256sum: $2: Input/output error" >&2; exit 1\n')
    (programs / "sha256sum").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    described, image = with_image(dev, tmp_path, monkeypatch, "as downloaded", path)
    with pytest.raises(AdminError) as caught:
        image_check.intact(described, [image])
    assert caught.value.code == "image-unreadable"
    assert "Input/output error" in caught.value.observed
    assert image.name in caught.value.what
    assert (tmp_path / image.name).read_text() == "as downloaded"
