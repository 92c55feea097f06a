"""The main job, looked at from outside: what `up` leaves, what a second one does, and what changes change."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bad_world import refusal

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

NODES = {"proxmox01": "192.168.0.185", "proxmox02": "192.168.0.186", "proxmox03": "192.168.0.187"}
LINKS = ("10.10.1", "10.20.1")


def boot_ids(cluster: LabProject) -> dict[str, str]:
    return {name: cluster.ssh(address, "cat /proc/sys/kernel/random/boot_id").output for name, address in NODES.items()}


def services(cluster: LabProject, address: str) -> dict[str, dict[str, Any]]:
    """HA's services by their id, as the node at `address` tells them."""
    text = cluster.ssh(address, "pvesh get /cluster/ha/status/current --output-format json").output
    return {entry["sid"]: entry for entry in json.loads(text) if entry["type"] == "service"}


@pytest.mark.looks
@pytest.mark.parametrize(("name", "address"), NODES.items())
def test_each_node_sees_three_votes_and_quorum(cluster: LabProject, name: str, address: str) -> None:
    status = cluster.ssh(address, "hostname; pvecm status").output
    assert status.splitlines()[0] == name
    assert re.search(r"^Quorate:\s+Yes", status, re.MULTILINE)
    assert re.search(r"^Total votes:\s+3", status, re.MULTILINE)
    assert re.search(r"^Name:\s+proxmox$", status, re.MULTILINE)


@pytest.mark.looks
@pytest.mark.parametrize("address", NODES.values())
def test_both_links_connect_every_pair(cluster: LabProject, address: str) -> None:
    found = cluster.ssh(address, "corosync-cfgtool -n").output
    host = address.rsplit(".", 1)[1]
    for peer in {item.rsplit(".", 1)[1] for item in NODES.values()} - {host}:
        for number, network in enumerate(LINKS):
            pattern = rf"LINK: {number} udp \({network}\.{host}->{network}\.{peer}\) enabled connected"
            assert re.search(pattern, found), found


@pytest.mark.looks
def test_link_priorities_are_as_configured(cluster: LabProject) -> None:
    text = cluster.ssh(NODES["proxmox03"], "cat /etc/corosync/corosync.conf").output
    priorities = dict(re.findall(r"knet_link_priority: (\d+)\s+linknumber: (\d)", text))
    assert priorities == {"20": "0", "10": "1"}


def test_another_id_is_refused_before_anything_is_done(cluster: LabProject) -> None:
    def conf() -> str:
        return cluster.ssh(NODES["proxmox01"], "cat /etc/pve/corosync.conf").output

    before = conf()
    values = cluster.configuration()
    values["nodes"][1]["nodeId"] = 9
    cluster.configure(values)
    text = refusal(cluster.admin("up"), "identity-changed")
    assert "proxmox02 has id 2" in text
    assert "proxmox02 with id 9" in text
    assert conf() == before


@pytest.mark.looks
def test_guests_are_started_under_ha_on_allowed_nodes(cluster: LabProject) -> None:
    found = services(cluster, NODES["proxmox01"])
    assert {sid: entry["state"] for sid, entry in found.items()} == {"vm:200": "started", "ct:300": "started"}
    for sid, entry in found.items():
        tool, vmid = ("qm", "200") if sid.startswith("vm") else ("pct", "300")
        assert "running" in cluster.ssh(NODES[entry["node"]], f"{tool} status {vmid}").output


@pytest.mark.looks
def test_nodes_have_virtualization_and_run_the_newest_kernel(cluster: LabProject) -> None:
    for address in NODES.values():
        seen = cluster.ssh(
            address, "grep -cE 'vmx|svm' /proc/cpuinfo; test -c /dev/kvm && echo kvm; uname -r"
        ).output.split()
        assert int(seen[0]) > 0
        assert seen[1] == "kvm"
        installed = cluster.ssh(
            address, "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'proxmox-kernel-*-pve'"
        ).output
        assert f"proxmox-kernel-{seen[2]}" in installed


@pytest.mark.looks
def test_an_api_call_with_the_day_to_day_user_works_without_root(cluster: LabProject) -> None:
    users = cluster.ssh(NODES["proxmox02"], "pvesh get /access/users --output-format json").output
    assert "pulumi@pve" in {user["userid"] for user in json.loads(users)}


def test_a_second_up_changes_nothing_and_reboots_nothing(cluster: LabProject) -> None:
    before = boot_ids(cluster)
    run = cluster.admin("up")
    assert run.code == 0, run.output
    assert cluster.pulumi("preview", "--expect-no-changes", "--policy-pack", "policy").code == 0
    assert boot_ids(cluster) == before


def test_up_with_refresh_changes_nothing(cluster: LabProject) -> None:
    run = cluster.pulumi("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
    assert run.code == 0, run.output


@pytest.mark.looks
def test_installer_isos_with_secrets_are_gone(cluster: LabProject) -> None:
    outer = "192.168.0.180"
    isos = cluster.ssh(outer, "ls /var/lib/vz/template/iso").output.split()
    assert isos == ["stack-dev-virtual-proxmox-ve_9.1-1.iso"]  # the installer itself is the positive control
    for vmid in (101, 102, 103):
        config = cluster.ssh(outer, f"qm config {vmid}").output
        assert "scsi0:" in config
        assert "ide2:" not in config


@pytest.mark.looks
def test_guests_disks_are_on_the_shared_storage(cluster: LabProject) -> None:
    """The provider once moved the clone's disk to a node's own storage: the guest then died with its node."""
    found = services(cluster, NODES["proxmox01"])
    vm = cluster.ssh(NODES[found["vm:200"]["node"]], "qm config 200").output
    ct = cluster.ssh(NODES[found["ct:300"]["node"]], "pct config 300").output
    assert re.search(r"^scsi0: shared:", vm, re.MULTILINE), vm
    assert re.search(r"^ide3: none,media=cdrom", vm, re.MULTILINE), vm  # with its host's own drive it could not move
    assert re.search(r"^rootfs: shared:", ct, re.MULTILINE), ct


@pytest.mark.looks
def test_no_secret_is_plain_in_the_state(cluster: LabProject) -> None:
    exported = cluster.pulumi("stack", "export").output
    secrets = cluster.credentials()
    assert "192.168.0.185" in exported
    for name in ("rootPassword", "apiPassword", "hostKeySeed"):
        assert secrets[name] not in exported, name
    assert "PRIVATE KEY" not in exported


@pytest.mark.looks
def test_more_memory_for_a_guest_is_the_only_change(cluster: LabProject) -> None:
    values = cluster.configuration()
    next(guest for guest in values["guests"] if guest["name"] == "vm01")["memoryMib"] = 768
    cluster.configure(values)
    operations = cluster.preview_operations()
    assert [op for name, op in operations.items() if name.endswith("-vm")] == ["update"]
    assert set(operations.values()) == {"update"}
    assert not [name for name in operations if "join" in name or "prepare" in name or "create" in name]


def test_a_changed_step_package_copies_and_reruns_nothing(cluster: LabProject) -> None:
    before = boot_ids(cluster)
    module = cluster.directory / "onnode" / "host" / "kvm_nested.py"
    original = module.read_text()
    module.write_text(original + "\n# a newer release of the steps\n")
    try:
        operations = cluster.preview_operations()
        assert operations
        assert all("steps" in name or "onnode" in name or "package" in name for name in operations), operations
        run = cluster.admin("up")
    finally:
        module.write_text(original)
        restored = cluster.admin("up")
    assert (run.code, restored.code) == (0, 0), run.output + restored.output
    assert boot_ids(cluster) == before


def test_status_names_a_cut_link_and_quorum_holds(cluster: LabProject) -> None:
    assert cluster.admin("status").code == 0
    cluster.lab("link", "cut", "proxmox02", "0")
    assert cluster.eventually(lambda: cluster.admin("status").code != 0)
    run = cluster.admin("status")
    assert "proxmox02" in run.output
    assert "link 0" in run.output
    assert re.search(r"^Quorate:\s+Yes", cluster.ssh(NODES["proxmox02"], "pvecm status").output, re.MULTILINE)


def test_status_sees_a_cluster_wrecked_by_hand(cluster: LabProject) -> None:
    cluster.ssh(NODES["proxmox03"], "systemctl stop corosync")
    try:
        run = cluster.admin("status")
    finally:
        cluster.ssh(NODES["proxmox03"], "systemctl start corosync")
    assert run.code == 1
    assert "proxmox03" in run.output
    assert "Traceback" not in run.output
