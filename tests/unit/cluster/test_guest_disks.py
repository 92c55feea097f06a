"""What is left on its storages of a guest that goes, on a node's API as the lab has it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import guest_disks, guests
from cluster.contract import DisksGone
from cluster.errors import AdminError
from cluster.steps import container, disks_gone, template
from cluster.transport import cluster_api
from cluster.transport.cluster_api import NO_NODE, Api, ApiError
from onnode.cluster.membership import fingerprint
from onnode.step import Outcome
from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.unit.cluster.live_nodes import CALL
from tests.unit.cluster.test_guest_steps import API, CONTAINER, MEMBERS, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS: dict[int, Any] = {300: (container, CONTAINER), 9000: (template, TEMPLATE)}
FIRST, FOREIGN = "shared:300/vm-300-disk-0.raw", "shared:300/vm-300-disk-7.raw"
RECORDED = replace(CALL, previous={"vmid": 300, "disks": [FIRST]})


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiNode]:
    furnish(tmp_path, "pve1")
    (tmp_path / "var/lib/vz/template/cache").mkdir(parents=True)
    (tmp_path / "var/lib/vz/template/cache/there.tar.zst").write_bytes(b"an archive")
    with running(tmp_path) as found:
        pem = ssl.get_server_certificate((found.address, 8006))

        async def connect(*_: object) -> Api:
            await asyncio.sleep(0)
            api = Api(found.endpoint, fingerprint(pem))
            api.login("root@pam", PASSWORD)
            return api

        monkeypatch.setattr(cluster_api, "connect", connect)
        monkeypatch.setattr(guest_disks, "SILENT_S", 0.1)
        monkeypatch.setattr(guest_disks, "POLL_S", 0.1)
        yield found


def make(vmid: int) -> None:
    step, desired = STEPS[vmid]
    asyncio.run(step.bring_about(desired, CALL))


def remove(vmid: int, call: Any = CALL) -> Outcome:  # noqa: ANN401 - as there
    step, desired = STEPS[vmid]
    outcome: Outcome = asyncio.run(step.remove(desired, call))
    return outcome


def refused(vmid: int, call: Any = CALL) -> AdminError:  # noqa: ANN401 - as there
    with pytest.raises(AdminError) as error:
        remove(vmid, call)
    return error.value


def there(node: ApiNode) -> dict[int, str]:
    return {entry["vmid"]: entry["node"] for entry in node.get("/cluster/resources") if "vmid" in entry}


def left(node: ApiNode, storage: str = "shared") -> list[str]:
    return sorted(entry["volid"] for entry in node.get(f"/nodes/pve1/storage/{storage}/content"))


def file_of(node: ApiNode, volume: str) -> Path:
    return node.root / "srv/shared/images" / volume.partition(":")[2]


def put(node: ApiNode, volume: str) -> None:
    file = file_of(node, volume)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"pve-lab-disk": "another", "size": 1024}')


def silence(node: ApiNode, name: str = "shared") -> str:
    """The server of a storage does not answer from now on; the configuration in which it does."""
    configuration = node.pve / "storage.cfg"
    before = configuration.read_text()
    silent = before.replace(f"dir: {name}\n", f"nfs: {name}\n\tserver 127.0.0.1\n\texport /srv\n")
    configuration.write_text(silent.replace("\tshared 1\n", ""))
    return before


@contextmanager
def silent(node: ApiNode, name: str = "shared") -> Iterator[None]:
    before = silence(node, name)
    yield
    (node.pve / "storage.cfg").write_text(before)


@pytest.mark.parametrize("vmid", [300, 9000])
def test_nothing_of_a_guest_goes_while_its_storage_does_not_answer(node: ApiNode, vmid: int) -> None:
    make(vmid)
    before = left(node)
    with silent(node):
        error = refused(vmid)
        assert (error.code, error.observed) == ("storage-offline", "storage shared is not active on pve1")
        assert f"the disks of guest {vmid} cannot be removed; none of them was" in error.render()
        assert vmid in there(node)
    assert left(node) == before
    assert remove(vmid).changed
    assert (there(node), left(node)) == ({}, [])
    assert not (node.root / f"srv/shared/images/{vmid}").exists()


@pytest.mark.parametrize("vmid", [300, 9000])
@pytest.mark.parametrize("hides", ["disable 1", "nodes pve2"])
def test_a_storage_that_the_node_does_not_list_has_not_lost_its_disks(node: ApiNode, vmid: int, hides: str) -> None:
    make(vmid)
    before, configuration = left(node), node.pve / "storage.cfg"
    listed = configuration.read_text()
    configuration.write_text(listed.replace("dir: shared\n", f"dir: shared\n\t{hides}\n"))
    assert (refused(vmid).code, vmid in there(node)) == ("storage-offline", True)
    configuration.write_text(listed)
    assert left(node) == before != []
    assert remove(vmid).changed
    assert (there(node), left(node)) == ({}, [])


def test_a_storage_that_answers_again_soon_fails_no_run(
    node: ApiNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guest_disks, "SILENT_S", 30.0)
    make(300)
    before = silence(node)
    back = threading.Timer(1.0, (node.pve / "storage.cfg").write_text, [before])
    back.start()
    assert remove(300).changed
    back.join()
    assert (there(node), left(node)) == ({}, [])
    assert "waiting for storage shared, which is not active on pve1" in capsys.readouterr().err


@pytest.mark.parametrize("vmid", [300, 9000])
def test_a_silent_storage_of_others_keeps_no_guest(node: ApiNode, vmid: int) -> None:
    """Proxmox VE would free the disks, fail at that storage, and keep a guest without disks."""
    make(vmid)
    with (node.pve / "storage.cfg").open("a") as configuration:
        configuration.write(
            "\nnfs: far\n\tpath /mnt/pve/far\n\tserver 127.0.0.1\n\texport /srv\n\tcontent images,rootdir\n"
        )
    assert remove(vmid).changed
    assert (there(node), left(node)) == ({}, [])


@pytest.fixture
def forgetful(node: ApiNode, monkeypatch: pytest.MonkeyPatch) -> ApiNode:
    """A removal ends well and leaves the disks, as Proxmox VE does it with a VM whose disk is in use."""
    delete, wait = Api.delete, Api.wait
    files: dict[Path, bytes] = {}

    def begun(api: Api, path: str, **options: object) -> Any:  # noqa: ANN401 - JSON
        files.clear()
        if "/content/" not in path:
            files.update({file: file.read_bytes() for file in node.root.glob("srv/shared/images/*/*")})
        return delete(api, path, **options)

    def ended(api: Api, upid: str, timeout_s: float) -> None:
        wait(api, upid, timeout_s)
        for file, text in files.items():
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(text)

    monkeypatch.setattr(Api, "delete", begun)
    monkeypatch.setattr(Api, "wait", ended)
    return node


@pytest.mark.parametrize("vmid", [300, 9000])
def test_a_disk_that_a_removal_left_is_freed(forgetful: ApiNode, vmid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make(vmid)
    started = Api.delete

    def delete(api: Api, path: str, **options: object) -> object:
        if path.endswith(f"/{vmid}"):
            put(forgetful, f"shared:{vmid}/vm-{vmid}-disk-7.raw")
        return started(api, path, **options)

    monkeypatch.setattr(Api, "delete", delete)
    assert remove(vmid).changed
    assert there(forgetful) == {}
    # That the guest's configuration did not name it is all that is known of this one.
    assert left(forgetful) == [f"shared:{vmid}/vm-{vmid}-disk-7.raw"]


def test_a_disk_that_cannot_be_freed_is_named(forgetful: ApiNode, monkeypatch: pytest.MonkeyPatch) -> None:
    make(300)
    deleting = Api.delete

    def delete(api: Api, path: str, **options: object) -> object:
        if "/content/" in path:
            raise ApiError("DELETE", path, 500, "cfs-lock 'storage-shared' error: got lock request timeout")
        return deleting(api, path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Api, "delete", delete)
        error = refused(300)
    assert error.code == "disk-left"
    assert error.observed == f"{FIRST}: 500 cfs-lock 'storage-shared' error: got lock request timeout"
    assert f"on pve1: pvesm free {FIRST}" in error.render()
    # The next run finds no guest, and knows by the record what is left.
    put(forgetful, FOREIGN)
    assert remove(300, RECORDED) == Outcome(changed=True, facts={"vmid": 300})
    assert left(forgetful) == [FOREIGN]
    assert remove(300, RECORDED).changed is False


def test_what_an_earlier_run_left_waits_for_its_storage(node: ApiNode) -> None:
    put(node, FIRST)
    with silent(node):
        error = refused(300, RECORDED)
    assert (error.code, error.observed) == ("storage-offline", "storage shared is not active on pve1")
    assert remove(300, RECORDED).changed
    assert left(node) == []


@pytest.mark.parametrize("previous", [None, {"vmid": 300}, {"vmid": 300, "disks": ["local-lvm:vm-300-disk-0"]}])
def test_a_disk_that_is_not_recorded_on_shared_storage_stays(node: ApiNode, previous: dict[str, Any] | None) -> None:
    """Another node's `local-lvm` may have a volume of that name."""
    put(node, FIRST)
    foreign = node.root / "var/lib/pve-lab/lvm/pve/vm-300-disk-0"
    foreign.parent.mkdir(parents=True)
    foreign.write_text('{"pve-lab-disk": "another", "size": 1024}')
    assert remove(300, replace(CALL, previous=previous)).changed is False
    assert (left(node), foreign.exists()) == ([FIRST], True)


def test_the_disks_of_somebody_elses_guest_stay(node: ApiNode) -> None:
    make(300)
    node.do("PUT", "/nodes/pve1/lxc/300/config", tags="customer")
    assert remove(300, RECORDED).changed is False
    assert (there(node), left(node)) == ({300: "pve1"}, [FIRST])


@pytest.mark.parametrize(
    ("config", "volumes"),
    [
        ({"rootfs": "shared:300/vm-300-disk-0.raw,size=1G"}, ["shared:300/vm-300-disk-0.raw"]),
        ({"mp0": "volume=lvm:subvol-300-disk-1,mp=/srv"}, ["lvm:subvol-300-disk-1"]),
        ({"scsi0": "shared:9000/base-9000-disk-0.raw/300/vm-300-disk-0.qcow2"}, None),
        ({"scsi0": "file=lvm:base-300-disk-0,size=1G", "efidisk0": "lvm:vm-300-disk-1"}, None),
        ({"unused0": "shared:300/vm-300-disk-2.raw", "tpmstate0": "lvm:vm-300-disk-3,version=v2.0"}, None),
        ({"ide2": "shared:300/vm-300-cloudinit.qcow2,media=cdrom"}, ["shared:300/vm-300-cloudinit.qcow2"]),
        ({"ide2": "local:iso/vm-300-disk-0.iso,media=cdrom", "ide0": "none,media=cdrom"}, []),
        ({"mp0": "/srv/vm-300-disk-0,mp=/srv", "scsi1": "/dev/disk/by-id/vm-300-x"}, []),
        ({"scsi0": "shared:301/vm-301-disk-0.raw", "scsi1": "shared:3000/vm-3000-disk-0.raw"}, []),
        ({"description": "shared:300/vm-300-disk-0.raw", "net0": "shared:300/vm-300-disk-0.raw"}, []),
    ],
)
def test_only_disks_of_its_own_number_in_its_configuration_are_a_guests(
    config: dict[str, str], volumes: list[str] | None
) -> None:
    whole = [value.removeprefix("file=").partition(",")[0] for value in config.values()]
    assert guest_disks.owned(config, 300) == sorted(whole if volumes is None else volumes)


@pytest.mark.parametrize("vmid", [300, 9000])
def test_a_node_that_dies_before_the_look_at_the_disks_is_named(
    node: ApiNode, monkeypatch: pytest.MonkeyPatch, vmid: int
) -> None:
    make(vmid)
    get = Api.get

    def dead(api: Api, path: str, **parameters: object) -> object:
        if path.endswith("/config"):
            raise ApiError("GET", path, NO_NODE, "No route to host")
        return get(api, path, **parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Api, "get", dead)
        error = refused(vmid)
    assert (error.code, error.observed) == ("guest-node-down", "pve1: No route to host")
    assert vmid in there(node)


# -- a VM that the provider destroys -----------------------------------------------------------------------------------

GONE = DisksGone(MEMBERS, API, 200, "pve1", "shared")
BEFORE, OWN = "shared:200/vm-200-disk-0.raw", "shared:200/vm-200-disk-1.raw"


def noted() -> Any:  # noqa: ANN401 - JSON
    return asyncio.run(disks_gone.bring_about(GONE, CALL)).facts


def gone(previous: Any) -> Outcome:  # noqa: ANN401 - JSON
    return asyncio.run(disks_gone.remove(GONE, replace(CALL, previous=previous)))


def test_a_disk_that_the_end_of_a_vm_left_is_named_until_it_is_freed(node: ApiNode) -> None:
    put(node, BEFORE)
    facts = noted()
    assert facts == {"vmid": 200, "others": [BEFORE]}
    put(node, OWN)
    for _ in range(2):
        with pytest.raises(AdminError) as refused:
            gone(facts)
        assert (refused.value.code, refused.value.observed) == ("disk-left", OWN)
        assert f"on pve1: pvesm free {OWN}" in refused.value.render()
        assert left(node) == [BEFORE, OWN], "it may be somebody else's by now"
    file_of(node, OWN).unlink()
    assert gone(facts) == Outcome(changed=False, facts={"vmid": 200})
    assert left(node) == [BEFORE]


def test_while_a_guest_has_the_number_none_of_its_disks_is_left(node: ApiNode) -> None:
    node.do("POST", "/nodes/pve1/qemu", vmid=200, name="vm01", memory=512, kvm=0, cpu="qemu64", scsi0="shared:1")
    facts = noted()
    assert facts["others"] == [], "its own"
    recorded = {"vmid": 200, "others": [OWN]}
    assert asyncio.run(disks_gone.bring_about(GONE, replace(CALL, previous=recorded))).facts == recorded
    assert not gone(facts).changed
    node.do("DELETE", "/nodes/pve1/qemu/200")
    assert not gone(facts).changed


def test_what_was_there_is_noted_anew_for_another_number(node: ApiNode) -> None:
    put(node, BEFORE)
    recorded = replace(CALL, previous={"vmid": 199, "others": []})
    assert asyncio.run(disks_gone.bring_about(GONE, recorded)).facts == {"vmid": 200, "others": [BEFORE]}


def test_the_disks_of_a_guest_that_the_user_may_not_see_stay_and_are_not_named(
    node: ApiNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule such as NoAccess on /vms/300 takes it out of /cluster/resources."""
    make(300)
    node.do("POST", "/nodes/pve1/qemu", vmid=200, name="vm01", memory=512, kvm=0, cpu="qemu64", scsi0="shared:1")
    disks = left(node)
    monkeypatch.setattr(guests, "find", lambda *_: None)
    assert not remove(300, RECORDED).changed
    assert not gone({"vmid": 200, "others": []}).changed
    assert left(node) == disks
    node.do("DELETE", "/nodes/pve1/lxc/300")
    put(node, FIRST)
    assert remove(300, RECORDED).changed, "nobody has the number any more"


def test_of_a_storage_that_is_there_no_more_nobody_asks(node: ApiNode) -> None:
    facts = noted()
    configuration = node.pve / "storage.cfg"
    configuration.write_text(configuration.read_text().partition("dir: shared")[0])
    assert node.request("GET", "/nodes/pve1/storage", storage="shared").errors == {"storage": "No such storage."}
    assert not gone(facts).changed


def test_what_a_silent_storage_has_left_nobody_can_see(node: ApiNode) -> None:
    facts = noted()
    with silent(node), pytest.raises(AdminError) as refused:
        gone(facts)
    assert (refused.value.code, refused.value.observed) == ("storage-offline", "storage shared is not active on pve1")
    assert not gone(facts).changed
