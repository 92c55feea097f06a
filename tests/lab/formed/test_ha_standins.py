"""The lab's HA manager: what it does with a guest whose node dies, and how `ha-manager` answers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.proxmox import Proxmox

VMID = 100


@pytest.fixture
def guest(cluster: Proxmox) -> Iterator[Proxmox]:
    """A virtual machine under HA that runs on pve2."""
    cluster.sh(2, f"qm create {VMID} --name vm01 --memory 128 --kvm 0 && ha-manager add vm:{VMID}")
    eventually(lambda: cluster.runs_guest(2, VMID) and "started" in service(cluster, 1), "the guest is started")
    # HA drops a request to move a guest to a node that its manager has not seen yet, as after a start.
    eventually(lambda: online(cluster) == {"pve1", "pve2", "pve3"}, "the HA manager has seen all nodes")
    yield cluster
    eventually(lambda: cluster.ssh(1, "ha-manager status").returncode == 0, "pve1 answers")
    cluster.sh(1, f"ha-manager set vm:{VMID} --state disabled")
    eventually(lambda: "disabled" in service(cluster, 1), "the guest is stopped")
    cluster.sh(1, f"ha-manager remove vm:{VMID}; rm /etc/pve/nodes/*/qemu-server/{VMID}.conf")


def online(nodes: Proxmox) -> set[str]:
    """The nodes that the HA manager has as online."""
    published = nodes.sh(1, "cat /etc/pve/ha/manager_status 2>/dev/null || echo {}").strip("\0\n")
    return {name for name, state in json.loads(published).get("node_status", {}).items() if state == "online"}


def service(nodes: Proxmox, seen_by: int) -> str:
    return nodes.ha(seen_by).get(f"service vm:{VMID}", "")


def test_the_guest_of_a_dead_node_runs_elsewhere(guest: Proxmox) -> None:
    guest.lab.do("node", "kill", "pve2")
    eventually(lambda: re.search(r"pve[13], started", service(guest, 1)) is not None, "the guest is recovered", 120)
    assert [number for number in (1, 3) if guest.runs_guest(number, VMID)] == [
        int(service(guest, 1).partition("(pve")[2][0])
    ]
    log = "".join(guest.sh(number, "journalctl -u pve-ha-crm -o cat --no-pager") for number in (1, 3))
    steps = [
        "node 'pve2': state changed from 'online' => 'unknown'",
        f"service 'vm:{VMID}': state changed from 'started' to 'fence'",
        "node 'pve2': state changed from 'unknown' => 'fence'",
        "fencing: acknowledged - got agent lock for node 'pve2'",
        f"service 'vm:{VMID}': state changed from 'fence' to 'recovery'",
        f"recover service 'vm:{VMID}' from fenced node 'pve2'",
    ]
    positions = [log.rindex(step) for step in steps]
    assert positions == sorted(positions)


def test_a_node_that_loses_quorum_resets_itself_before_its_guest_runs_elsewhere(guest: Proxmox) -> None:
    before = guest.boot_id(2)
    for link in ("0", "1"):
        guest.lab.do("link", "cut", "pve2", link)
    eventually(lambda: guest.boot_id(2) not in ("", before), "pve2 was reset by its watchdog", 120)
    assert not guest.runs_guest(2, VMID)
    eventually(lambda: re.search(r"pve[13], started", service(guest, 1)) is not None, "the guest is recovered", 120)


@pytest.mark.parametrize("verb", ["migrate", "relocate"])
def test_a_guest_moves_on_request(guest: Proxmox, verb: str) -> None:
    guest.sh(1, f"ha-manager {verb} vm:{VMID} pve3")
    eventually(lambda: "pve3, started" in service(guest, 1) and guest.runs_guest(3, VMID), f"{verb} is done")
    assert not guest.runs_guest(2, VMID)
    assert (
        guest.sh(1, f"ls /etc/pve/nodes/*/qemu-server/{VMID}.conf").strip()
        == f"/etc/pve/nodes/pve3/qemu-server/{VMID}.conf"
    )


def test_a_guest_with_its_hosts_own_cd_drive_does_not_move(cluster: Proxmox) -> None:
    cluster.sh(2, "qm create 556 --name vm02 --memory 128 --kvm 0 --ide3 cdrom,media=cdrom")
    refused = cluster.ssh(2, "qm migrate 556 pve3")
    cluster.sh(2, "qm set 556 --ide3 none,media=cdrom && qm migrate 556 pve3")
    cluster.sh(3, "qm destroy 556")
    assert "can't migrate local cdrom drive" in refused.stdout + refused.stderr
    assert refused.returncode != 0


@pytest.mark.story
def test_the_watchdog_is_open_only_where_something_is_at_stake(guest: Proxmox) -> None:
    def only_where_the_guest_is() -> bool:
        status = guest.ha(1)
        idle = all("idle, watchdog standby" in status[name] for name in ("lrm pve1", "lrm pve3"))
        return idle and "watchdog active" in status["lrm pve2"]

    # A node that has just lost its last guest stays active for some rounds.
    eventually(only_where_the_guest_is, "only the guest's node holds the watchdog open", 120)
    assert guest.ssh(2, "test -d /run/watchdog-mux.active").returncode == 0
    assert guest.ssh(2, "test -c /dev/watchdog && systemctl is-active watchdog-mux").returncode == 0


def test_ha_manager_refuses_as_the_real_one(guest: Proxmox) -> None:
    for command, message in (
        (f"ha-manager add vm:{VMID}", f"resource ID 'vm:{VMID}' already defined"),
        ("ha-manager add vm:555", "resource 'vm:555' does not exist in cluster"),
        ("ha-manager groupadd prefer --nodes pve1", "cannot create group: ha groups have been migrated to rules"),
        ("ha-manager migrate ct:555 pve1", "resource 'ct:555' is not HA managed"),
        ("ha-manager frobnicate", "unknown command 'ha-manager frobnicate'"),
    ):
        refused = guest.ssh(1, command)
        assert refused.returncode == 255, command
        assert message in refused.stderr
