"""Virtual machines and containers in the lab's API, against the rules of qemu-server and pve-container."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.api_node import ApiNode, furnish, running
from tests.support.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

QEMU = "/nodes/pve1/qemu"
LXC = "/nodes/pve1/lxc"
TEMPLATE = "debian-13-standard_13.1-2_amd64.tar.zst"
# reference: qemu-server, "KVM virtualisation configured ..."
NO_KVM = "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    root = tmp_path_factory.mktemp("node")
    furnish(root, "pve1")
    (root / "var/lib/vz/template/cache").mkdir(parents=True)
    (root / "var/lib/vz/template/cache" / TEMPLATE).write_text("archive")
    with running(root) as found:
        yield found


@pytest.fixture
def vmid(node: ApiNode) -> int:
    return int(node.get("/cluster/nextid"))


def command_line(node: ApiNode, vmid: int) -> str:
    pid = (node.root / f"run/qemu-server/{vmid}.pid").read_text().strip()
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def create(node: ApiNode, vmid: int, **options: object) -> None:
    given = {"name": f"vm{vmid}", "memory": 256, "kvm": 0, "scsi0": "local-lvm:4", **options}
    node.do("POST", QEMU, vmid=vmid, **given)


def test_a_new_machine_is_written_as_proxmox_writes_it(node: ApiNode, vmid: int) -> None:
    create(
        node,
        vmid,
        scsi0="file=local-lvm:32,format=raw,iothread=1,discard=on",
        net0="model=virtio,bridge=vmbr0,firewall=0,macaddr=bc:24:11:00:00:01",
        net1="virtio,bridge=vmbr0",
        tags="nested;dev",
        cores=2,
    )
    config = node.config(vmid)
    assert config["scsi0"] == f"local-lvm:vm-{vmid}-disk-0,discard=on,iothread=1,size=32G"
    assert config["net0"] == "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=0"
    assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0", config["net1"])
    assert (config["tags"], config["cores"], config["memory"]) == ("dev;nested", 2, "256")
    assert config["boot"] == "order=scsi0;net0"
    assert re.match(r"creation-qemu=[\d.]+,ctime=\d+$", config["meta"])
    assert {"smbios1", "vmgenid"} <= config.keys()
    text = (node.pve / f"nodes/pve1/qemu-server/{vmid}.conf").read_text()
    assert text.splitlines() == sorted(text.splitlines())


def test_a_taken_number_is_refused_whatever_kind_of_guest_has_it(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    assert node.fail("POST", QEMU, vmid=vmid) == f"unable to create VM {vmid} - VM {vmid} already exists on node 'pve1'"
    refused = node.fail("POST", "/nodes/pve1/lxc", vmid=vmid, ostemplate=f"local:vztmpl/{TEMPLATE}", storage="shared")
    assert refused == f"unable to create CT {vmid} - VM {vmid} already exists on node 'pve1'"


def test_what_failed_to_be_created_leaves_nothing(node: ApiNode, vmid: int) -> None:
    said = node.fail("POST", QEMU, vmid=vmid, scsi0="local-lvm:4", scsi1="local-lvm:vm-1-disk-7")
    assert said == "volume 'local-lvm:vm-1-disk-7' does not exist"
    assert vmid not in [vm["vmid"] for vm in node.get(QEMU)]
    assert node.get("/nodes/pve1/storage/local-lvm/content", vmid=vmid) == []


def test_a_machine_without_kvm_support_says_so(node: ApiNode, vmid: int) -> None:
    create(node, vmid, kvm=1)
    assert node.fail("POST", f"{QEMU}/{vmid}/status/start") == NO_KVM
    (node.root / "dev/kvm").touch()
    try:
        node.do("POST", f"{QEMU}/{vmid}/status/start")
    finally:
        (node.root / "dev/kvm").unlink()
    assert node.get(f"{QEMU}/{vmid}/status/current")["status"] == "running"


def test_the_hosts_processor_cannot_be_had_without_kvm(node: ApiNode, vmid: int) -> None:
    create(node, vmid, cpu="host")
    answer = node.request("POST", f"{QEMU}/{vmid}/status/start")
    assert node.task(answer.data) == (
        "start failed: QEMU exited with code 1",
        ["kvm: CPU model 'host' requires KVM or HVF", "TASK ERROR: start failed: QEMU exited with code 1"],
    )
    node.do("PUT", f"{QEMU}/{vmid}/config", cpu="qemu64")
    node.do("POST", f"{QEMU}/{vmid}/status/start")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"net0": "virtio,bridge=vmbr9"}, "start failed: QEMU exited with code 1"),
        ({"memory": 8192}, "start failed: QEMU exited with code 1"),
        ({"lock": "backup"}, "VM is locked (backup)"),
    ],
)
def test_a_machine_does_not_start(node: ApiNode, vmid: int, options: dict[str, object], reason: str) -> None:
    create(node, vmid, **options)
    assert node.fail("POST", f"{QEMU}/{vmid}/status/start") == reason
    assert node.get(f"{QEMU}/{vmid}/status/current")["status"] == "stopped"


def test_a_machine_whose_disk_is_gone_does_not_start(node: ApiNode, vmid: int) -> None:
    create(node, vmid, scsi0="shared:4")
    disk = node.root / f"srv/shared/images/{vmid}/vm-{vmid}-disk-0.raw"
    moved = disk.rename(disk.with_suffix(".moved"))
    expected = f"volume 'shared:{vmid}/vm-{vmid}-disk-0.raw' does not exist"
    assert node.fail("POST", f"{QEMU}/{vmid}/status/start") == expected
    moved.rename(disk)
    node.do("POST", f"{QEMU}/{vmid}/status/start")
    assert f"-id {vmid} " in command_line(node, vmid)


def test_a_started_machine_starts_only_once_and_stops(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    node.do("POST", f"{QEMU}/{vmid}/status/start")
    assert node.fail("POST", f"{QEMU}/{vmid}/status/start") == f"VM {vmid} already running"
    assert node.fail("DELETE", f"{QEMU}/{vmid}") == f"VM {vmid} is running - destroy failed"
    node.do("POST", f"{QEMU}/{vmid}/status/stop")
    assert node.get(f"{QEMU}/{vmid}/status/current")["status"] == "stopped"
    node.do("DELETE", f"{QEMU}/{vmid}")
    assert f"Configuration file 'nodes/pve1/qemu-server/{vmid}.conf' does not exist" == node.fail(
        "GET", f"{QEMU}/{vmid}/config"
    )


def test_a_killed_machine_is_seen_as_stopped(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    node.do("POST", f"{QEMU}/{vmid}/status/start")
    status = node.get(f"{QEMU}/{vmid}/status/current")
    assert status["status"] == "running"
    os.kill(status["pid"], 9)
    # On a busy machine it lives on for a moment.
    assert eventually(lambda: node.get(f"{QEMU}/{vmid}/status/current")["status"] == "stopped", 10)


def test_a_running_machine_takes_some_changes_at_its_next_start(node: ApiNode, vmid: int) -> None:
    (node.root / "var/lib/vz/template/iso").mkdir(parents=True, exist_ok=True)
    (node.root / "var/lib/vz/template/iso/debian.iso").write_bytes(b"x" * 2048)
    create(node, vmid, ide2="local:iso/debian.iso,media=cdrom", boot="order=scsi0;ide2")
    assert node.config(vmid)["ide2"] == "local:iso/debian.iso,media=cdrom,size=2K"
    node.do("POST", f"{QEMU}/{vmid}/status/start")
    node.do("PUT", f"{QEMU}/{vmid}/config", delete="ide2", boot="order=scsi0", cores=4, name="at-once")
    now, coming = node.get(f"{QEMU}/{vmid}/config", current=1), node.config(vmid)
    assert (now["boot"], now.get("cores"), now["name"], "ide2" in now) == ("order=scsi0;ide2", None, "at-once", True)
    assert (coming["boot"], coming["cores"], "ide2" in coming) == ("order=scsi0", 4, False)
    rows = {row["key"]: row for row in node.get(f"{QEMU}/{vmid}/pending")}
    assert (rows["cores"]["pending"], rows["ide2"]["delete"]) == (4, 1)
    node.do("POST", f"{QEMU}/{vmid}/status/reboot")
    assert node.get(f"{QEMU}/{vmid}/config", current=1) == node.get(f"{QEMU}/{vmid}/config")


def test_changes_that_make_no_sense_are_refused(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    path = f"{QEMU}/{vmid}/config"
    assert node.fail("POST", QEMU, vmid=vmid + 1, pool="p") == "Permission check failed (pool 'p' does not exist)"
    assert node.fail("PUT", path) == "no options specified"
    assert node.request("PUT", path, boot="order=scsi0;ide2").errors == {
        "boot": "invalid bootorder: device 'ide2' does not exist'"
    }
    assert node.fail("PUT", path, name="x", digest="0" * 40) == "checksum mismatch (file change by other user?)"


def test_a_detached_disk_stays_with_its_machine(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    node.do("PUT", f"{QEMU}/{vmid}/config", delete="scsi0")
    assert node.config(vmid)["unused0"] == f"local-lvm:vm-{vmid}-disk-0"
    node.do("PUT", f"{QEMU}/{vmid}/config", scsi1=f"local-lvm:vm-{vmid}-disk-0")
    config = node.config(vmid)
    assert (config["scsi1"], "unused0" in config) == (f"local-lvm:vm-{vmid}-disk-0,size=4G", False)


def test_disks_grow_and_never_shrink(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    node.do("PUT", f"{QEMU}/{vmid}/resize", disk="scsi0", size="+4G")
    assert node.config(vmid)["scsi0"].endswith("size=8G")
    assert node.fail("PUT", f"{QEMU}/{vmid}/resize", disk="scsi0", size="4G") == "shrinking disks is not supported"


def test_a_template_refuses_what_proxmox_refuses(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    node.do("POST", f"{QEMU}/{vmid}/status/start")
    assert node.fail("POST", f"{QEMU}/{vmid}/template") == "you can't convert a VM to template if VM is running"
    node.do("POST", f"{QEMU}/{vmid}/status/stop")
    node.do("POST", f"{QEMU}/{vmid}/template")
    config = node.config(vmid)
    assert (config["template"], config["scsi0"]) == (1, f"local-lvm:base-{vmid}-disk-0,size=4G")
    assert node.fail("POST", f"{QEMU}/{vmid}/template") == "you can't convert a template to a template"
    assert node.fail("POST", f"{QEMU}/{vmid}/status/start") == "you can't start a vm if it's a template"


def test_a_linked_clone_keeps_its_template_from_going(node: ApiNode, vmid: int) -> None:
    create(node, vmid, scsi0="shared:4,format=qcow2", net0="virtio,bridge=vmbr0")
    node.do("POST", f"{QEMU}/{vmid}/template")
    clone = int(node.get("/cluster/nextid"))
    node.do("POST", f"{QEMU}/{vmid}/clone", newid=clone, name="clone")
    source, copy = node.config(vmid), node.config(clone)
    assert copy["scsi0"] == f"shared:{vmid}/base-{vmid}-disk-0.qcow2/{clone}/vm-{clone}-disk-0.qcow2,size=4G"
    assert (copy["name"], "template" in copy) == ("clone", False)
    for own in ("net0", "smbios1", "vmgenid"):
        assert copy[own] != source[own]
    expected = f"base volume 'shared:{vmid}/base-{vmid}-disk-0.qcow2' is still in use by linked cloned"
    assert node.fail("DELETE", f"{QEMU}/{vmid}") == expected
    node.do("DELETE", f"{QEMU}/{clone}")
    node.do("DELETE", f"{QEMU}/{vmid}")


def test_a_full_clone_goes_where_it_is_told(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    clone = int(node.get("/cluster/nextid"))
    node.do("POST", f"{QEMU}/{vmid}/clone", newid=clone, storage="shared", full=1)
    assert node.config(clone)["scsi0"] == f"shared:{clone}/vm-{clone}-disk-0.raw,size=4G"
    node.do("POST", f"{QEMU}/{clone}/template")
    refused = node.request("POST", f"{QEMU}/{clone}/clone", newid=clone + 1, storage="local-lvm", full=0)
    assert refused.errors == {"storage": "parameter 'storage' not allowed for linked clones"}


def test_a_guest_under_ha_goes_only_with_purge(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    (node.pve / "ha").mkdir(exist_ok=True)
    resources = node.pve / "ha/resources.cfg"
    resources.write_text(f"vm: {vmid}\n\tstate ignored\n\nvm: 99999\n\tstate started\n")
    expected = f"unable to remove VM {vmid} - used in HA resources and purge parameter not set."
    assert node.fail("DELETE", f"{QEMU}/{vmid}") == expected
    node.do("DELETE", f"{QEMU}/{vmid}", purge=1)
    assert re.findall(r"vm: \d+", resources.read_text()) == ["vm: 99999"]


def test_a_guest_under_ha_is_started_by_the_ha_manager(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    (node.pve / "ha").mkdir(exist_ok=True)
    (node.pve / "ha/resources.cfg").write_text(f"vm: {vmid}\n\tstate stopped\n")
    node.stub("ha-manager", f'echo "$@" > {node.root}/asked')
    upid = node.do("POST", f"{QEMU}/{vmid}/status/start")
    assert ":hastart:" in upid
    assert (node.root / "asked").read_text() == f"set vm:{vmid} --state started\n"
    assert node.get(f"{QEMU}/{vmid}/status/current")["status"] == "stopped"


def test_nothing_is_changed_without_quorum(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    local = node.pve / "local"
    local.unlink()
    local.mkdir(mode=0o555)  # the look of /etc/pve/local on a member without quorum
    try:
        for method, path, params in (
            ("PUT", f"{QEMU}/{vmid}/config", {"cores": 2}),
            ("POST", QEMU, {"vmid": vmid + 1}),
            ("DELETE", f"{QEMU}/{vmid}", {}),
            ("POST", f"{QEMU}/{vmid}/template", {}),
        ):
            assert node.fail(method, path, **params) == "cluster not ready - no quorum?"
        assert "no quorum" in node.fail("POST", "/access/groups", groupid="g")
        assert node.config(vmid)["memory"] == "256"
    finally:
        local.rmdir()
        local.symlink_to("nodes/pve1")
    node.do("PUT", f"{QEMU}/{vmid}/config", cores=2)


def test_a_container_is_made_from_a_template(node: ApiNode, vmid: int) -> None:
    lxc = "/nodes/pve1/lxc"
    missing = node.fail("POST", lxc, vmid=vmid, ostemplate="local:vztmpl/none.tar.zst", rootfs="shared:2")
    assert missing == "volume 'local:vztmpl/none.tar.zst' does not exist"
    options = {"hostname": "ct01", "memory": 128, "net0": "name=eth0,bridge=vmbr0,ip=192.0.2.50/24", "unprivileged": 1}
    node.do("POST", lxc, vmid=vmid, ostemplate=f"local:vztmpl/{TEMPLATE}", rootfs="shared:2", start=1, **options)
    config = node.config(vmid, "lxc")
    assert (config["ostype"], config["rootfs"]) == ("debian", f"shared:{vmid}/vm-{vmid}-disk-0.raw,size=2G")
    assert re.fullmatch(
        r"name=eth0,bridge=vmbr0,hwaddr=BC:24:11(:[0-9A-F]{2}){3},ip=192.0.2.50/24,type=veth", config["net0"]
    )
    assert node.get(f"{lxc}/{vmid}/status/current")["status"] == "running"
    assert node.fail("POST", f"{lxc}/{vmid}/status/start") == f"CT {vmid} already running"
    node.do("DELETE", f"{lxc}/{vmid}", force=1)
    assert vmid not in [ct["vmid"] for ct in node.get(lxc)]


def test_all_guests_show_among_the_clusters_resources(node: ApiNode, vmid: int) -> None:
    create(node, vmid)
    found = {item["id"]: item for item in node.get("/cluster/resources")}
    assert {"node/pve1", "storage/pve1/local", f"qemu/{vmid}"} <= found.keys()
    assert (found[f"qemu/{vmid}"]["node"], found[f"qemu/{vmid}"]["maxdisk"]) == ("pve1", 4 << 30)


def test_guests_that_shall_start_with_the_node_do(node: ApiNode, vmid: int) -> None:
    create(node, vmid, onboot=1)
    other = int(node.get("/cluster/nextid"))
    create(node, other)
    node.do("POST", "/nodes/localhost/startall")
    states = {vm["vmid"]: vm["status"] for vm in node.get(QEMU)}
    assert (states[vmid], states[other]) == ("running", "stopped")
    node.do("POST", "/nodes/localhost/stopall")
    assert node.get(f"{QEMU}/{vmid}/status/current")["status"] == "stopped"


@contextmanager
def silent_server(node: ApiNode) -> Iterator[None]:
    """The shared storage is one whose server does not answer."""
    configuration = node.pve / "storage.cfg"
    before = configuration.read_text()
    configuration.write_text(
        before.replace("dir: shared\n", "nfs: shared\n\tserver 127.0.0.1\n\texport /srv\n").replace("\tshared 1\n", "")
    )
    try:
        yield
    finally:
        configuration.write_text(before)


def containers_disk(node: ApiNode, vmid: int, storage: str) -> None:
    node.do("POST", LXC, vmid=vmid, ostemplate=f"local:vztmpl/{TEMPLATE}", rootfs=f"{storage}:1", unprivileged=1)


@pytest.mark.parametrize("options", [{}, {"destroy__unreferenced__disks": 1, "purge": 1}])
def test_a_container_stays_while_its_disk_cannot_be_freed(node: ApiNode, vmid: int, options: dict[str, int]) -> None:
    """reference: PVE::LXC::destroy_lxc_container, in which vdisk_free ends the task."""
    containers_disk(node, vmid, "shared")
    disk = node.root / f"srv/shared/images/{vmid}/vm-{vmid}-disk-0.raw"
    with silent_server(node):
        assert node.fail("DELETE", f"{LXC}/{vmid}", **options) == "storage 'shared' is not online"
        assert node.config(vmid, "lxc")["rootfs"].startswith(f"shared:{vmid}/")
    assert disk.exists()
    node.do("DELETE", f"{LXC}/{vmid}", **options)
    assert not disk.parent.exists()


def test_a_machine_goes_without_a_disk_that_cannot_be_freed(node: ApiNode, vmid: int) -> None:
    """reference: PVE::QemuServer::destroy_vm, in which vdisk_free only warns."""
    create(node, vmid, scsi0="shared:4")
    with silent_server(node):
        end, said = node.task(node.request("DELETE", f"{QEMU}/{vmid}").data)
    volume = f"shared:{vmid}/vm-{vmid}-disk-0.raw"
    warned = f"Could not remove disk '{volume}', check manually: storage 'shared' is not online"
    assert (end, warned in said) == ("OK", True)
    assert (
        node.fail("GET", f"{QEMU}/{vmid}/config")
        == f"Configuration file 'nodes/pve1/qemu-server/{vmid}.conf' does not exist"
    )
    assert volume in [item["volid"] for item in node.get("/nodes/pve1/storage/shared/content")]
    node.do("DELETE", f"/nodes/pve1/storage/shared/content/{volume}")  # another test takes the number


@pytest.mark.parametrize("kind", ["qemu", "lxc"])
def test_who_looks_for_unreferenced_disks_needs_every_storage_to_answer(node: ApiNode, vmid: int, kind: str) -> None:
    """reference: PVE::Storage::vdisk_list, which activates them all. By then the disks of the configuration are gone."""
    if kind == "qemu":
        create(node, vmid)
    else:
        containers_disk(node, vmid, "local-lvm")
    path = f"/nodes/pve1/{kind}/{vmid}"
    with silent_server(node):
        assert node.fail("DELETE", path, destroy__unreferenced__disks=1) == "storage 'shared' is not online"
    assert node.config(vmid, kind)
    assert node.get("/nodes/pve1/storage/local-lvm/content", vmid=vmid) == []


def test_a_container_without_its_logical_volume_cannot_be_removed(node: ApiNode, vmid: int) -> None:
    """reference: PVE::Storage::LvmThinPlugin::free_image, where lvremove fails; a file that is gone is only warned of."""
    containers_disk(node, vmid, "local-lvm")
    disk = node.root / f"var/lib/pve-lab/lvm/pve/vm-{vmid}-disk-0"
    moved = disk.rename(disk.parent.parent / "moved")
    missing = f"lvremove 'pve/vm-{vmid}-disk-0' error:   Failed to find logical volume \"pve/vm-{vmid}-disk-0\""
    assert node.fail("DELETE", f"{LXC}/{vmid}") == missing
    assert node.config(vmid, "lxc")
    moved.rename(disk)
    node.do("DELETE", f"{LXC}/{vmid}")
