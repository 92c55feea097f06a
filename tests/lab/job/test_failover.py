"""A node dies, the one behind the API endpoint's first address too: its guests run elsewhere, and `up` does the right thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.job.test_cluster import NODES, services
from tests.support import outer_host

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


@pytest.mark.destroys
def test_everything_can_be_destroyed_while_a_node_is_dead(cluster: LabProject, as_found: list[str]) -> None:
    """Once refused the template, taking the guest of a dead node for a foreign one; and once unregistered a guest that HA
    had yet to recover.
    """
    kill_seed_with_guest(cluster)
    run = cluster.admin("down", "--yes")
    assert run.code == 0, run.output
    assert outer_host.difference(as_found, outer_host.look(cluster)) == []
