"""A guest changes while it runs: another preferred node, a larger disk, another name; and it outlives its description."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.job.test_cluster import NODES, services
from tests.support.bad_world import refusal, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lab_project import LabProject

SEEN_BY = NODES["proxmox03"]
# HA moves it only when it is asked to.
VM = {
    "name": "vm07",
    "kind": "vm",
    "vmid": 207,
    "node": "proxmox01",
    "template": "debian-template",
    "storage": "shared",
    "memoryMib": 128,
    "keep": True,
    "ha": {"failback": False, "nodes": {"proxmox01": 2, "proxmox02": 1}},
}
# HA brings it where it is preferred.
CONTAINER = {
    "name": "ct07",
    "kind": "container",
    "vmid": 307,
    "node": "proxmox01",
    "storage": "shared",
    "diskGib": 1,
    "memoryMib": 128,
    "ha": {"nodes": {"proxmox01": 2, "proxmox02": 1}},
}
EXISTING = {"name": "web07", "kind": "existing", "type": "vm", "vmid": 207, "ha": {"nodes": {"proxmox01": 1}}}
BOOTED = "tr '\\0' '\\n' < /proc/$(cat {}/{}.pid)/environ | grep ^GUEST_BOOTED="


def with_guests(cluster: LabProject, *guests: dict[str, Any]) -> None:
    """The stack's own guests, and these."""
    values = cluster.configuration()
    own = [one for one in values["guests"] if one["vmid"] in (200, 300)]
    template = next(one["template"] for one in own if one["kind"] == "container")
    more = [one | ({"template": template} if one["kind"] == "container" else {}) for one in guests]
    values["guests"] = own + more
    cluster.configure(values)


def node_of(cluster: LabProject, sid: str) -> str:
    found: str = services(cluster, SEEN_BY)[sid]["node"]
    return found


def config(cluster: LabProject, sid: str) -> dict[str, Any]:
    """A guest as its node has it, from its file and its tool."""
    tool = {"vm": "qm", "ct": "pct"}[sid[:2]]
    text = succeeded(cluster.ssh(NODES[node_of(cluster, sid)], f"{tool} config {sid[3:]}")).output
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def booted(cluster: LabProject, node: str, sid: str) -> str:
    """Since when a guest is up, as it sees that itself."""
    directory = {"vm": "/run/qemu-server", "ct": "/run/lxc"}[sid[:2]]
    return succeeded(cluster.ssh(NODES[node], BOOTED.format(directory, sid[3:]))).output


def size_on_storage(cluster: LabProject, volume: str) -> int:
    """What the storage says of a volume, in GiB; the stand-in's files are smaller."""
    listing = "pvesh get /nodes/proxmox03/storage/shared/content --output-format json"
    found = {one["volid"]: int(one["size"]) for one in json.loads(succeeded(cluster.ssh(SEEN_BY, listing)).output)}
    return found[volume] // 2**30


@pytest.fixture
def changing(cluster: LabProject) -> Iterator[LabProject]:
    """The cluster with two guests more; what is left of them goes."""
    with_guests(cluster, VM, CONTAINER)
    succeeded(cluster.admin("up"))
    yield cluster
    for sid, tool in (("vm:207", "qm"), ("ct:307", "pct")):
        # Nothing that a failed test leaves may be in the way of the next one.
        away = f"ha-manager remove {sid}; for i in $(seq 60); do ha-manager status | grep -q 'service {sid}' || break; sleep 1; done"
        cluster.ssh(SEEN_BY, away, limit_s=90)
        for address in NODES.values():
            cluster.ssh(address, f"{tool} stop {sid[3:]}; {tool} destroy {sid[3:]} --purge", limit_s=90)


@pytest.mark.story
def test_a_guest_is_changed_while_it_runs_and_outlives_its_description(changing: LabProject) -> None:
    what_cannot_be_is_refused_before_anything_changes(changing)
    all_of_it_changes_at_once(changing)
    a_vm_that_is_kept_runs_on(changing)
    and_comes_back_under_ha_as_one_that_exists(changing)
    with_which_it_outlives_its_node(changing)


def what_cannot_be_is_refused_before_anything_changes(cluster: LabProject) -> None:
    before = {sid: config(cluster, sid) for sid in ("vm:207", "ct:307")}
    with_guests(cluster, VM | {"vmid": 208}, CONTAINER)
    text = refusal(cluster.admin("preview"), "change-refused")
    assert "guest vm07: vmid 207 → 208 (a guest keeps it" in text
    assert "vm07 is VM 207; described: vm07 VM 208" in refusal(cluster.admin("up"), "guest-changed")
    assert {sid: config(cluster, sid) for sid in before} == before
    assert services(cluster, SEEN_BY).keys() == {"vm:200", "ct:300", "vm:207", "ct:307"}
    # To the engine it would be the end of the one that was made, with its HA.
    with_guests(cluster, EXISTING | {"name": "vm07"}, CONTAINER)
    assert "leave it out" in refusal(cluster.admin("up"), "guest-changed")
    assert {sid: config(cluster, sid) for sid in before} == before


def all_of_it_changes_at_once(cluster: LabProject) -> None:
    up_since = booted(cluster, "proxmox01", "vm:207"), booted(cluster, "proxmox01", "ct:307")
    elsewhere = {"proxmox01": 1, "proxmox02": 2}
    vm = VM | {"name": "web07", "diskGib": 3, "ha": {"failback": False, "maxRestart": 3, "nodes": elsewhere}}
    container = CONTAINER | {"name": "files07", "diskGib": 2, "ha": {"maxRelocate": 4, "nodes": elsewhere}}
    with_guests(cluster, vm, container)
    told = succeeded(cluster.admin("preview")).output
    assert "guest web07: name vm07 → web07" in told
    assert "guest web07: preferred node proxmox01 → proxmox02 (if it is elsewhere, HA moves it there live)" in told
    assert "preferred node proxmox01 → proxmox02 (if it is elsewhere, HA stops it and starts it there)" in told
    # The engine alone takes them for other guests: nothing is made, and nothing goes.
    with_guests(cluster, vm, CONTAINER | {"vmid": 308})
    bare = cluster.pulumi("up", "--yes", "--skip-preview", "--policy-pack", "policy")
    assert bare.code != 0
    assert "error[guest-changed]" in bare.output
    assert (node_of(cluster, "vm:207"), node_of(cluster, "ct:307")) == ("proxmox01", "proxmox01")
    assert (config(cluster, "vm:207")["name"], config(cluster, "ct:307")["hostname"]) == ("vm07", "ct07")
    assert services(cluster, SEEN_BY).keys() == {"vm:200", "ct:300", "vm:207", "ct:307"}
    with_guests(cluster, vm, container)
    succeeded(cluster.admin("up"))

    assert (node_of(cluster, "vm:207"), node_of(cluster, "ct:307")) == ("proxmox02", "proxmox02")
    assert booted(cluster, "proxmox02", "vm:207") == up_since[0], "it moved while it ran"
    assert booted(cluster, "proxmox02", "ct:307") != up_since[1], "a container restarts"
    seen = config(cluster, "vm:207"), config(cluster, "ct:307")
    assert (seen[0]["name"], seen[1]["hostname"]) == ("web07", "files07")
    for key, size in (("scsi0", 3), ("rootfs", 2)):
        disk = seen[key == "rootfs"][key]
        assert f"size={size}G" in disk
        assert size_on_storage(cluster, disk.split(",")[0]) == size
    resources = json.loads(
        succeeded(cluster.ssh(SEEN_BY, "pvesh get /cluster/ha/resources --output-format json")).output
    )
    settings = {one["sid"]: one for one in resources}
    assert (settings["vm:207"]["max_restart"], settings["ct:307"]["max_relocate"]) == (3, 4)
    rules = json.loads(succeeded(cluster.ssh(SEEN_BY, "pvesh get /cluster/ha/rules --output-format json")).output)
    assert {one["rule"] for one in rules} >= {"web07-placement", "files07-placement"}
    assert not {one["rule"] for one in rules} & {"vm07-placement", "ct07-placement"}
    nothing_is_left_to_do(cluster)

    # HA keeps a VM without failback where it is; only another preference moves it.
    succeeded(cluster.ssh(SEEN_BY, "ha-manager migrate vm:207 proxmox01"))
    assert cluster.eventually(lambda: services(cluster, SEEN_BY)["vm:207"]["node"] == "proxmox01", 60)
    with_guests(cluster, vm | {"diskGib": 4}, container)
    succeeded(cluster.admin("up"))
    assert (node_of(cluster, "vm:207"), booted(cluster, "proxmox01", "vm:207")) == ("proxmox01", up_since[0])

    with_guests(cluster, vm | {"diskGib": 3}, container)
    assert "disk in GiB 4 → 3 (disks only grow" in refusal(cluster.admin("preview"), "change-refused")
    assert "web07 has 4 GiB" in refusal(cluster.admin("up"), "guest-differs")


def nothing_is_left_to_do(cluster: LabProject) -> None:
    succeeded(
        cluster.pulumi("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes", "--policy-pack", "policy")
    )


def a_vm_that_is_kept_runs_on(cluster: LabProject) -> None:
    up_since = booted(cluster, "proxmox01", "vm:207")
    with_guests(cluster)
    text = succeeded(cluster.admin("up")).output
    assert "VM 207 is taken out of HA and of this stack, and runs on" in text
    assert "web07 (qemu 207) stays on proxmox01, out of HA, and is not this stack's any more" in text
    assert booted(cluster, "proxmox01", "vm:207") == up_since
    assert services(cluster, SEEN_BY).keys() == {"vm:200", "ct:300"}
    tags = [line for line in cluster.ssh(NODES["proxmox01"], "qm config 207").output.splitlines() if "tags" in line]
    assert tags == []
    gone = cluster.ssh(SEEN_BY, "ls /etc/pve/nodes/*/lxc/307.conf; cat /etc/pve/ha/rules.cfg").output
    assert "No such file" in gone
    assert "07-placement" not in gone


def and_comes_back_under_ha_as_one_that_exists(cluster: LabProject) -> None:
    up_since, before = booted(cluster, "proxmox01", "vm:207"), cluster.ssh(NODES["proxmox01"], "qm config 207").output
    with_guests(cluster, EXISTING)
    assert "VM 207 exists, and is put under HA as it is" in succeeded(cluster.admin("up")).output
    assert services(cluster, SEEN_BY)["vm:207"]["state"] == "started"
    with_guests(cluster)
    assert "VM 207 (web07) on proxmox01 is not this stack's any more" in succeeded(cluster.admin("up")).output
    assert services(cluster, SEEN_BY).keys() == {"vm:200", "ct:300"}
    assert "07-placement" not in cluster.ssh(SEEN_BY, "cat /etc/pve/ha/rules.cfg").output
    assert booted(cluster, "proxmox01", "vm:207") == up_since
    assert cluster.ssh(NODES["proxmox01"], "qm config 207").output == before
    nothing_is_left_to_do(cluster)


def with_which_it_outlives_its_node(cluster: LabProject) -> None:
    up_since, before = booted(cluster, "proxmox01", "vm:207"), cluster.ssh(NODES["proxmox01"], "qm config 207").output
    with_guests(cluster, EXISTING | {"ha": {"nodes": {"proxmox01": 2, "proxmox02": 1}}})
    succeeded(cluster.admin("up"))
    cluster.lab("node", "kill", "proxmox01")

    def runs_on(node: str) -> bool:
        found = services(cluster, SEEN_BY)["vm:207"]
        return bool(found["state"] == "started" and found["node"] == node)

    assert cluster.eventually(lambda: runs_on("proxmox02"), 120)
    assert booted(cluster, "proxmox02", "vm:207") != up_since
    succeeded(cluster.admin("up"))  # starts the node; its guest goes home
    assert cluster.eventually(lambda: runs_on("proxmox01"), 120)
    with_guests(cluster)
    succeeded(cluster.admin("up"))
    assert cluster.ssh(NODES["proxmox01"], "qm config 207").output == before
    nothing_is_left_to_do(cluster)
