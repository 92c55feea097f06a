"""A node dies, the one behind the API endpoint's first address too: its guests run elsewhere, and `up` does the right thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.job.test_cluster import NODES, boot_ids, services
from tests.support import outer_host, processes, run_reports
from tests.support.bad_world import refusal

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

GUESTS = ("vm:200", "ct:300")


def kill_seed_with_guest(cluster: LabProject) -> str:
    """Bring the VM to the seed and kill that; the address of a living node."""
    living = NODES["proxmox02"]
    cluster.ssh(NODES["proxmox01"], "ha-manager migrate vm:200 proxmox01")
    assert cluster.eventually(lambda: services(cluster, living)["vm:200"]["node"] == "proxmox01")
    cluster.lab("node", "kill", "proxmox01")
    return living


@pytest.fixture
def after_failover(cluster: LabProject) -> tuple[LabProject, str, str]:
    """The cluster with the seed dead and all guests started elsewhere; the seed's name, and a living node's address."""
    living = kill_seed_with_guest(cluster)

    def recovered() -> bool:
        found = services(cluster, living)
        return all(found[sid]["state"] == "started" and found[sid]["node"] != "proxmox01" for sid in GUESTS)

    assert cluster.eventually(recovered, 120)
    return cluster, "proxmox01", living


def test_guests_of_a_dead_node_run_elsewhere_and_up_leaves_them_there(
    after_failover: tuple[LabProject, str, str],
) -> None:
    cluster, dead, living = after_failover
    where = {sid: entry["node"] for sid, entry in services(cluster, living).items()}
    status = cluster.admin("status")
    assert status.code == 1
    assert dead in status.output
    run = cluster.pulumi("up", "--yes", "--skip-preview", "--policy-pack", "policy")
    assert run.code == 0, run.output
    run = cluster.pulumi("up", "--yes", "--skip-preview", "--refresh", "--policy-pack", "policy")
    assert run.code == 0, run.output
    assert {sid: entry["node"] for sid, entry in services(cluster, living).items()} == where
    # Plain `pulumi up` starts nothing; `make up` asks the outer host about a node that is silent, and starts it again.
    # Its guest goes home then, and the provider is let go when it is there.
    run = cluster.admin("up")
    assert run.code == 0, run.output
    assert "VM 101 on virtual is powered off" in run.output
    assert services(cluster, living)["vm:200"]["node"] == dead
    assert cluster.eventually(lambda: cluster.admin("status").code == 0, 120)


@pytest.mark.story
def test_a_guest_that_moved_can_be_changed_while_its_first_node_is_dead(
    after_failover: tuple[LabProject, str, str],
) -> None:
    cluster, _, living = after_failover
    values = cluster.configuration()
    for guest in values["guests"]:
        guest["memoryMib"] = 640
    cluster.configure(values)
    run = cluster.pulumi("up", "--yes", "--skip-preview", "--refresh", "--policy-pack", "policy")
    assert run.code == 0, run.output

    def changed() -> bool:
        # Looked up each time: the dead node is on its way back, and HA moves the VM home.
        found = services(cluster, living)
        vm, ct = (NODES[found[sid]["node"]] for sid in GUESTS)
        seen = cluster.ssh(vm, "qm config 200").output, cluster.ssh(ct, "pct config 300").output
        return all("memory: 640" in config for config in seen)

    assert cluster.eventually(changed, 120)


@pytest.mark.story
def test_a_guest_that_ha_gave_up_while_its_storage_was_away_is_started_again(cluster: LabProject) -> None:
    living = NODES["proxmox02"]

    def state() -> str:
        return str(services(cluster, living)["ct:300"]["state"])

    cluster.ssh(living, "ha-manager set ct:300 --state stopped")
    assert cluster.eventually(lambda: state() == "stopped")
    cluster.ssh(outer_host.OUTER, "systemctl kill --signal=STOP nfs-server")
    try:
        cluster.ssh(living, "ha-manager set ct:300 --state started")
        assert cluster.eventually(lambda: state() == "error", 120), state()
    finally:
        cluster.ssh(outer_host.OUTER, "systemctl kill --signal=CONT nfs-server")
    status = cluster.admin("status")
    assert status.code == 1
    assert "HA has ct:300 in state error" in status.output
    assert "then make up, with which HA starts it again" in " ".join(status.output.split())
    run = cluster.admin("up")
    assert run.code == 0, run.output
    assert "HA has given up ct:300: it is in state error" in run.output
    assert state() == "started"
    assert "0 changes" in cluster.admin("up").output


@pytest.mark.story
def test_a_drill_times_guests_and_gives_the_node_back(cluster: LabProject) -> None:
    before = boot_ids(cluster)
    homes = {sid: entry["node"] for sid, entry in services(cluster, NODES["proxmox03"]).items()}
    run = cluster.admin("drill", "--yes")
    assert run.code == 0, run.output
    report = run_reports.of(cluster, run, "drill")
    drill = report["drill"]
    assert {key: drill[key] for key in ("node", "time_scale", "interval_s")} == {
        "node": "proxmox01",
        "time_scale": 0.1,
        "interval_s": 0.5,
    }
    own = {sid for sid, node in homes.items() if node == "proxmox01"}
    assert {one["sid"] for one in drill["guests"]} == own != set()
    for guest in drill["guests"]:
        moments = [guest[name] for name in ("last_answer", "fenced", "elsewhere", "answering")]
        assert moments == sorted(moments), guest
        assert guest["node"] != "proxmox01"
        # A tenth of the delays from 60 s to the fence and 120 s of the lock; Corosync's own 7 s are real.
        assert 5 < guest["fenced"] < 60
    # What was on other nodes went on: it was seen at every look.
    assert {one["sid"] for one in drill["others"]} == set(homes) - own != set()
    for other in drill["others"]:
        assert other["longest_s"] < 5
    assert report["findings"] == []
    assert [(one["where"], one["what"]) for one in report["acts"]] == [
        ("proxmox01", "its power was cut"),
        ("proxmox01", "started"),
    ]
    after = boot_ids(cluster)
    assert {name for name in NODES if before[name] != after[name]} == {"proxmox01"}


@pytest.mark.story
def test_a_drill_that_is_killed_leaves_a_node_off_and_the_next_goes_on(cluster: LabProject) -> None:
    def on(name: str) -> bool:
        machines = json.loads(cluster.lab("status", "--json").output)["machines"]
        return next(bool(one["on"]) for one in machines if one["name"] == name)

    assert on("proxmox02")
    run = cluster.start_admin("drill", "--node", "proxmox02", "--yes")
    assert cluster.eventually(lambda: not on("proxmox02"), 60)
    processes.end_all(run.pid)
    again = cluster.admin("drill", "--node", "proxmox02", "--yes")
    assert again.code == 0, again.output
    assert "proxmox02: its VM is powered off" in again.output
    drill = run_reports.of(cluster, again, "drill")["drill"]
    assert [one["sid"] for one in drill["guests"]] == ["ct:300"]
    assert cluster.admin("status").code == 0


def test_a_drill_that_is_refused_touches_nothing(cluster: LabProject) -> None:
    before = boot_ids(cluster)
    refusal(cluster.admin("drill", "--node", "proxmox09", "--yes"), "node-unknown")
    refusal(cluster.admin("drill", "--node", "proxmox03", "--yes"), "drill-no-guests")
    cluster.lab("link", "cut", "proxmox02", "0")
    text = refusal(cluster.admin("drill", "--yes"), "not-settled")
    assert "link 0" in text
    cluster.lab("link", "restore", "proxmox02", "0")
    assert boot_ids(cluster) == before


@pytest.mark.story
@pytest.mark.destroys
def test_everything_can_be_destroyed_while_a_node_is_dead(cluster: LabProject, as_found: list[str]) -> None:
    """Once refused the template, taking the guest of a dead node for a foreign one; and once unregistered a guest that HA
    had yet to recover.
    """
    kill_seed_with_guest(cluster)
    run = cluster.admin("down", "--yes")
    assert run.code == 0, run.output
    assert outer_host.difference(as_found, outer_host.look(cluster)) == []
