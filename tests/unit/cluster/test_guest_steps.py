"""The steps that make guests, on a node's API as the lab has it: it holds each call against Proxmox VE's schema."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.contract import ApiAccess, Container, GuestDisk, Image, KeptGuest, Machine, Template
from cluster.errors import AdminError
from cluster.steps import container, guest_disk, keep_guest, template
from cluster.transport import cluster_api, ssh
from cluster.transport.cluster_api import Api
from cluster.transport.ssh import Completed
from onnode.cluster.membership import fingerprint
from onnode.step import Outcome
from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.support.web import serving
from tests.unit.cluster.live_nodes import CALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cluster.call import Call
    from cluster.contract import Secrets

MEMBERS = [Machine("pve1", "192.0.2.180", "ssh-ed25519 AAAA")]
API = ApiAccess("https://pve.lab.internal:8006", "pulumi@pve", "pinned")
OURS = "nested-pve-ha;stack-dev"
TEMPLATE = Template(
    members=MEMBERS,
    api=API,
    stack_tag="stack-dev",
    vmid=9000,
    name="debian-template",
    node="pve1",
    storage="shared",
    disk_gib=2,
    cores=2,
    memory_mib=512,
    cpu_type="qemu64",
    kvm=False,
    bridge="vmbr0",
    image=None,
)
CONTAINER = Container(
    members=MEMBERS,
    api=API,
    stack_tag="stack-dev",
    vmid=300,
    name="ct01",
    node="pve1",
    storage="shared",
    disk_gib=1,
    cores=1,
    memory_mib=128,
    swap_mib=64,
    bridge="vmbr0",
    address="192.0.2.50/24",
    gateway="192.0.2.1",
    template=None,
    template_volume="local:vztmpl/there.tar.zst",
)
OF_CONTAINER = {"vmid": 300, "disks": ["shared:300/vm-300-disk-0.raw"]}
DISK, ARCHIVE = b"\0" * 4096, b"an archive"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    root = tmp_path_factory.mktemp("node")
    furnish(root, "pve1")
    for directory in ("template/cache", "import"):
        (root / "var/lib/vz" / directory).mkdir(parents=True)
    (root / "var/lib/vz/template/cache/there.tar.zst").write_bytes(ARCHIVE)
    with running(root) as found:
        yield found


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    served = tmp_path_factory.mktemp("web")
    (served / "disk.raw").write_bytes(DISK)
    (served / "ct.tar.zst").write_bytes(ARCHIVE)
    with serving(served) as address:
        yield address


class Shell(ssh.Connection):
    """The node's shell, as far as checksums of its files go."""

    def __init__(self, machine: Machine, storage: Path) -> None:
        self.machine = machine
        self.storage = storage

    async def run(self, command: str, **_options: Any) -> Completed:  # noqa: ANN401 - as there
        await asyncio.sleep(0)
        name = command.partition("/")[2].partition(")")[0]
        [file] = self.storage.rglob(name)
        return Completed(0, f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}\n", "")


@pytest.fixture(autouse=True)
def ways_in(node: ApiNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API and the shell of the node, for who comes with the right credentials."""
    pem = ssl.get_server_certificate((node.address, 8006))

    async def connect(members: Sequence[Machine], access: ApiAccess, secrets: Secrets) -> Api:
        await asyncio.sleep(0)
        assert (members, access, secrets) == (MEMBERS, API, CALL.secrets)
        api = Api(node.endpoint, fingerprint(pem))
        api.login("root@pam", PASSWORD)
        return api

    class Connected:
        def __init__(self, machine: Machine, private_key: str, **_options: object) -> None:
            assert (machine, private_key) == (MEMBERS[0], CALL.secrets.ssh_private_key)

        async def __aenter__(self) -> Shell:
            return Shell(MEMBERS[0], node.root / "var/lib/vz")

        async def __aexit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(cluster_api, "connect", connect)
    monkeypatch.setattr(ssh, "connect", Connected)


@pytest.fixture(autouse=True)
def nothing_left(node: ApiNode) -> Iterator[None]:
    yield
    for guest in [entry for entry in node.get("/cluster/resources") if "vmid" in entry]:
        path = f"/nodes/pve1/{guest['type']}/{guest['vmid']}"
        if guest["status"] == "running":
            node.do("POST", f"{path}/status/stop")
        node.do("DELETE", path)
    for content in ("vztmpl", "import"):
        for file in volumes(node, content) - {"local:vztmpl/there.tar.zst"}:
            node.do("DELETE", f"/nodes/pve1/storage/local/content/{file}")


def volumes(node: ApiNode, content: str) -> set[str]:
    return {entry["volid"] for entry in node.get("/nodes/pve1/storage/local/content", content=content)}


AGAIN = replace(CALL, previous={"vmid": 300})  # the step has run before


def bring_about(desired: Template | Container, call: Call = CALL) -> Outcome:
    step: Any = template if isinstance(desired, Template) else container
    outcome: Outcome = asyncio.run(step.bring_about(desired, call))
    return outcome


def remove(desired: Template | Container, call: Call = CALL) -> Outcome:
    step: Any = template if isinstance(desired, Template) else container
    outcome: Outcome = asyncio.run(step.remove(desired, call))
    return outcome


def refused(desired: Template | Container, call: Call = CALL) -> AdminError:
    with pytest.raises(AdminError) as error:
        bring_about(desired, call)
    return error.value


def shown(config: dict[str, Any]) -> dict[str, Any]:
    """Without what is another one each time."""
    cards = {
        key: ",".join(part for part in value.split(",") if "BC:24:11" not in part)
        for key, value in config.items()
        if key == "net0"
    }
    return {key: value for key, value in config.items() if key not in ("meta", "smbios1", "vmgenid")} | cards


def vm(node: ApiNode, **options: object) -> None:
    given = {"name": "other", "memory": 512, "kvm": 0, "cpu": "qemu64", "tags": OURS, "scsi0": "shared:2", **options}
    node.do("POST", "/nodes/pve1/qemu", vmid=9000, **given)


def test_a_template_is_made_kept_and_removed(node: ApiNode) -> None:
    made = bring_about(TEMPLATE)
    assert made == Outcome(changed=True, facts={"vmid": 9000, "node": "pve1"})
    config = node.config(9000)
    assert shown(config) == {
        "agent": "1",
        "boot": "order=scsi0",
        "cores": 2,
        "cpu": "qemu64",
        "kvm": 0,
        "memory": "512",
        "name": "debian-template",
        "net0": "bridge=vmbr0",
        "ostype": "l26",
        "scsi0": "shared:9000/base-9000-disk-0.raw,size=2G",
        "scsihw": "virtio-scsi-single",
        "tags": OURS,
        "template": 1,
    }
    assert bring_about(TEMPLATE) == replace(made, changed=False)
    assert node.config(9000) == config
    assert remove(TEMPLATE) == Outcome(changed=True, facts={"vmid": 9000})
    assert remove(TEMPLATE) == Outcome(changed=False, facts={"vmid": 9000})
    assert not [entry for entry in node.get("/cluster/resources") if entry.get("vmid") == 9000]


def test_only_what_differs_in_a_template_is_set(node: ApiNode, capsys: pytest.CaptureFixture[str]) -> None:
    bring_about(TEMPLATE)
    before = node.config(9000)
    node.do("PUT", "/nodes/pve1/qemu/9000/config", agent="0", ide2="none,media=cdrom", onboot=1)
    capsys.readouterr()
    assert bring_about(replace(TEMPLATE, memory_mib=768)).changed
    assert node.config(9000) == before | {"memory": "768", "onboot": 1}
    said = capsys.readouterr().err
    assert all(part in said for part in ("ide2 (none,media=cdrom)", "agent to 1, was 0", "memory to 768, was 512"))
    assert "cores" not in said


def test_a_template_under_another_name_is_left_as_it_is_and_one_that_was_renamed_by_hand_is_named_again(
    node: ApiNode,
) -> None:
    bring_about(TEMPLATE)
    before = node.config(9000)
    error = refused(replace(TEMPLATE, name="other"))
    assert (error.code, error.observed) == (
        "guest-changed",
        "debian-template is VM 9000 on pve1; described: other 9000",
    )
    assert node.config(9000) == before
    assert bring_about(replace(TEMPLATE, name="other"), replace(CALL, previous={"vmid": 9000})).changed
    assert node.config(9000)["name"] == "other"


def test_a_vm_of_ours_that_never_became_a_template_is_stopped_and_becomes_one(node: ApiNode) -> None:
    vm(node, name="debian-template")
    node.do("POST", "/nodes/pve1/qemu/9000/status/start")
    assert bring_about(TEMPLATE).changed
    config = node.config(9000)
    assert (config["template"], config["name"], config["cores"]) == (1, "debian-template", 2)


@pytest.mark.parametrize(
    ("options", "code", "observed"),
    [
        ({"tags": "nested-pve-ha;stack-prod"}, "guest-foreign", "qemu on pve1, tags: nested-pve-ha, stack-prod"),
        ({"tags": ""}, "guest-foreign", "qemu on pve1, tags: none"),
        ({"scsi0": "local-lvm:2"}, "guest-differs", "local-lvm:vm-9000-disk-0,size=2G"),
        ({"scsi0": "", "scsi1": "shared:2"}, "guest-differs", "no scsi0"),
    ],
)
def test_a_vm_that_is_not_the_template_is_refused_as_it_is(
    node: ApiNode, options: dict[str, str], code: str, observed: str
) -> None:
    given = {
        "name": "debian-template",
        "memory": 512,
        "kvm": 0,
        "cpu": "qemu64",
        "tags": OURS,
        "scsi0": "shared:2",
        **options,
    }
    node.do("POST", "/nodes/pve1/qemu", vmid=9000, **{key: value for key, value in given.items() if value})
    before = node.config(9000)
    error = refused(TEMPLATE)
    assert (error.code, error.observed) == (code, observed)
    assert node.config(9000) == before


def checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_template_is_made_from_an_image_that_is_downloaded_once_and_removed_with_it(node: ApiNode, web: str) -> None:
    image = Image(f"{web}/disk.raw", "stack-dev-disk.raw", checksum(DISK), "local")
    bring_about(replace(TEMPLATE, image=image))
    assert volumes(node, "import") == {"local:import/stack-dev-disk.raw"}
    assert node.config(9000)["scsi0"] == "shared:9000/base-9000-disk-0.raw,size=4K"
    remove(replace(TEMPLATE, image=image))
    assert volumes(node, "import") == set()


@pytest.mark.parametrize("before", [None, b"of an earlier description"])
def test_a_container_is_made_from_the_described_archive_kept_and_removed(
    node: ApiNode, web: str, before: bytes | None
) -> None:
    image = Image(f"{web}/ct.tar.zst", "stack-dev-ct.tar.zst", checksum(ARCHIVE), "local")
    file = node.root / "var/lib/vz/template/cache/stack-dev-ct.tar.zst"
    if before is not None:
        file.write_bytes(before)
    volume = "local:vztmpl/stack-dev-ct.tar.zst"
    desired = replace(
        CONTAINER, template=image, template_volume=volume, ssh_public_keys=["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"]
    )
    assert bring_about(desired) == Outcome(changed=True, facts={**OF_CONTAINER, "made_on": "pve1"})
    assert file.read_bytes() == ARCHIVE
    config = node.config(300, "lxc")
    assert {key: config[key] for key in ("hostname", "cores", "memory", "swap", "tags", "unprivileged")} == {
        "hostname": "ct01",
        "cores": 1,
        "memory": 128,
        "swap": 64,
        "tags": OURS,
        "unprivileged": 1,
    }
    assert config["rootfs"] == "shared:300/vm-300-disk-0.raw,size=1G"
    assert container.described_network(config["net0"]) == "name=eth0,bridge=vmbr0,ip=192.0.2.50/24,gw=192.0.2.1"
    assert node.get("/nodes/pve1/lxc/300/status/current")["status"] == "stopped"
    assert bring_about(desired) == Outcome(changed=False, facts=OF_CONTAINER)
    node.do("POST", "/nodes/pve1/lxc/300/status/start")
    assert remove(desired) == Outcome(changed=True, facts={"vmid": 300})
    assert volumes(node, "vztmpl") == {"local:vztmpl/there.tar.zst"}
    assert remove(desired) == Outcome(changed=False, facts={"vmid": 300})


def test_a_container_is_changed_where_it_is(node: ApiNode, capsys: pytest.CaptureFixture[str]) -> None:
    bring_about(CONTAINER)
    before = node.config(300, "lxc")
    capsys.readouterr()
    assert bring_about(replace(CONTAINER, memory_mib=256, cores=2)) == Outcome(changed=True, facts=OF_CONTAINER)
    assert node.config(300, "lxc") == before | {"memory": 256, "cores": 2}
    assert "cores, memory of ct01" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "code", "observed", "expected"),
    [
        ({"storage": "local"}, "guest-differs", "storage shared", "storage local"),
        (
            {"gateway": None},
            "guest-differs",
            "network name=eth0,bridge=vmbr0,ip=192.0.2.50/24,gw=192.0.2.1",
            "network name=eth0,bridge=vmbr0,ip=192.0.2.50/24",
        ),
        (
            {"stack_tag": "stack-prod"},
            "guest-foreign",
            "lxc on pve1, tags: nested-pve-ha, stack-dev",
            "lxc with tag stack-prod",
        ),
    ],
)
def test_a_container_that_cannot_become_the_described_one_is_refused(
    node: ApiNode, changes: dict[str, Any], code: str, observed: str, expected: str
) -> None:
    bring_about(CONTAINER)
    before = node.config(300, "lxc")
    error = refused(replace(CONTAINER, memory_mib=256, **changes))
    assert (error.code, error.observed) == (code, observed)
    assert error.expected.startswith(expected)
    assert node.config(300, "lxc") == before


@pytest.mark.usefixtures("node")
def test_a_guest_of_the_other_kind_under_our_number_is_refused() -> None:
    bring_about(CONTAINER)
    assert refused(replace(TEMPLATE, vmid=300)).code == "guest-foreign"
    bring_about(TEMPLATE)
    assert refused(replace(CONTAINER, vmid=9000)).code == "guest-foreign"


DISK_OF_VM = GuestDisk(MEMBERS, API, "stack-dev", 9000, "vm01", 4)
KEPT = KeptGuest(MEMBERS, API, "stack-dev", 9000, "vm01")


def grown(gib: int) -> Outcome:
    return asyncio.run(guest_disk.bring_about(replace(DISK_OF_VM, disk_gib=gib), CALL))


def test_a_disk_grows_while_its_vm_runs_and_then_nothing_is_to_do(
    node: ApiNode, capsys: pytest.CaptureFixture[str]
) -> None:
    vm(node, scsi1="shared:1")
    node.do("POST", "/nodes/pve1/qemu/9000/status/start")
    assert grown(2) == Outcome(changed=False, facts={"vmid": 9000})
    before = node.config(9000)
    assert grown(4) == Outcome(changed=True, facts={"vmid": 9000})
    assert node.config(9000) == before | {"scsi0": "shared:9000/vm-9000-disk-0.raw,size=4G"}
    assert "enlarging scsi0 of guest 9000 on pve1 from 2 to 4 GiB" in capsys.readouterr().err
    assert grown(4).changed is False
    assert node.get("/nodes/pve1/qemu/9000/status/current")["status"] == "running"


def test_a_disk_of_another_size_is_named_and_left_alone(node: ApiNode) -> None:
    vm(node)
    before = node.config(9000)
    with pytest.raises(AdminError) as refused:
        grown(1)
    assert (refused.value.code, refused.value.observed, refused.value.expected) == (
        "guest-differs",
        "scsi0 2 GiB",
        "scsi0 1 GiB",
    )
    assert node.config(9000) == before


def test_a_disk_of_somebody_elses_vm_is_left_alone(node: ApiNode) -> None:
    vm(node, tags="customer")
    with pytest.raises(AdminError) as refused:
        grown(4)
    assert refused.value.code == "guest-foreign"
    node.do("DELETE", "/nodes/pve1/qemu/9000")
    with pytest.raises(AdminError) as refused:
        grown(4)
    assert (refused.value.code, refused.value.observed) == ("guest-differs", "none")


def test_a_container_grows_and_gets_its_name_where_it_is(node: ApiNode, capsys: pytest.CaptureFixture[str]) -> None:
    bring_about(CONTAINER)
    node.do("POST", "/nodes/pve1/lxc/300/status/start")
    before = node.config(300, "lxc")
    capsys.readouterr()
    # To an engine that did not run it before, it is another guest.
    error = refused(replace(CONTAINER, disk_gib=3, name="ct02"))
    assert (error.code, error.observed) == ("guest-changed", "ct01 is lxc 300 on pve1; described: ct02 300")
    assert node.config(300, "lxc") == before
    assert bring_about(replace(CONTAINER, disk_gib=3, name="ct02"), AGAIN).changed is True
    rootfs = "shared:300/vm-300-disk-0.raw,size=3G"
    assert node.config(300, "lxc") == before | {"rootfs": rootfs, "hostname": "ct02"}
    assert "! ct02: it takes its new name when it restarts: `pct reboot 300` on pve1" in capsys.readouterr().err
    assert bring_about(replace(CONTAINER, disk_gib=3, name="ct02"), AGAIN).changed is False
    error = refused(replace(CONTAINER, name="ct03"), AGAIN)
    assert (error.code, error.observed, error.expected) == ("guest-differs", "rootfs 3 GiB", "rootfs 1 GiB")
    assert node.config(300, "lxc")["hostname"] == "ct02", "nothing else is changed"


def test_no_container_is_made_under_another_number_while_the_first_one_is_there(node: ApiNode) -> None:
    bring_about(CONTAINER)
    error = refused(replace(CONTAINER, vmid=301))
    assert (error.code, error.observed) == ("guest-changed", "ct01 is lxc 300 on pve1; described: ct01 301")
    assert {entry["vmid"] for entry in node.get("/cluster/resources") if "vmid" in entry} == {300}
    bring_about(replace(CONTAINER, vmid=301, name="ct02"))
    node.do("PUT", "/nodes/pve1/lxc/300/config", tags="customer")
    node.do("DELETE", "/nodes/pve1/lxc/301")
    assert bring_about(replace(CONTAINER, vmid=301)).changed is True


@pytest.mark.parametrize(("tags", "left"), [(OURS, None), (f"{OURS};shop", "shop")])
def test_a_guest_that_stays_loses_our_tags_and_nothing_else(node: ApiNode, tags: str, left: str | None) -> None:
    vm(node, tags=tags)
    node.do("POST", "/nodes/pve1/qemu/9000/status/start")
    before = node.config(9000)
    assert asyncio.run(keep_guest.remove(KEPT, CALL)) == Outcome(changed=True, facts={"vmid": 9000})
    after = node.config(9000)
    assert after.pop("tags", None) == left
    assert after == {key: value for key, value in before.items() if key != "tags"}
    assert node.get("/nodes/pve1/qemu/9000/status/current")["status"] == "running"
    assert asyncio.run(keep_guest.remove(KEPT, CALL)) == Outcome(changed=False, facts={"vmid": 9000})
    assert node.config(9000).get("tags") == left


@pytest.mark.usefixtures("node")
def test_a_guest_that_is_gone_needs_no_letting_go() -> None:
    assert asyncio.run(keep_guest.remove(KEPT, CALL)) == Outcome(changed=False, facts={"vmid": 9000})
