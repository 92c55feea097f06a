"""The tree behind the lab's /etc/pve: what a member sees with and without quorum, and when locks expire."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pvelab.corosync.conf import CorosyncConf
from pvelab.pmxcfs.locks import LockTable
from pvelab.pmxcfs.members import ClusterView, guests, render_guests
from pvelab.pmxcfs.mirror import mirror
from pvelab.pmxcfs.reports import Reports
from pvelab.pmxcfs.store import Store, cluster_directory

if TYPE_CHECKING:
    from pathlib import Path


def member(tmp_path: Path, name: str) -> Store:
    return Store(tmp_path / name, cluster_directory(tmp_path / "world", b"key"))


def test_a_stand_alone_node_always_writes(tmp_path: Path) -> None:
    store = Store(tmp_path / "replica", None)
    store.set_quorate(quorate=False)
    assert store.writable
    assert store.root == tmp_path / "replica"


def test_the_first_quorate_member_brings_its_tree_into_the_cluster(tmp_path: Path) -> None:
    seed, joiner = member(tmp_path, "seed"), member(tmp_path, "joiner")
    (seed.root / "storage.cfg").write_text("dir: local\n")
    (joiner.root / "mine").write_text("gone after the join")
    assert not seed.writable
    seed.set_quorate(quorate=True)
    joiner.set_quorate(quorate=True)
    assert (joiner.root / "storage.cfg").read_text() == "dir: local\n"
    assert not (joiner.root / "mine").exists()
    (joiner.root / "user.cfg").write_text("user:root@pam")
    assert (seed.root / "user.cfg").read_text() == "user:root@pam"


def test_without_quorum_a_member_sees_the_tree_as_it_was(tmp_path: Path) -> None:
    one, two = member(tmp_path, "one"), member(tmp_path, "two")
    for store in (one, two):
        store.set_quorate(quorate=True)
    (one.root / "file").write_text("before")
    two.set_quorate(quorate=False)
    (one.root / "file").write_text("after")
    assert (two.root / "file").read_text() == "before"
    assert not two.writable
    two.set_quorate(quorate=True)
    assert (two.root / "file").read_text() == "after"


def test_a_replica_follows_what_is_noted_and_in_the_end_all(tmp_path: Path) -> None:
    store = member(tmp_path, "one")
    store.set_quorate(quorate=True)

    def replica(name: str) -> str:
        return (store.replica / name).read_text()

    (store.root / "storage.cfg").write_text("a")
    (store.root / "lrm_status").write_text("a")
    store.note_change()
    store.refresh_replica()
    assert (replica("storage.cfg"), replica("lrm_status")) == ("a", "a")
    (store.root / "lrm_status").write_text("later")
    store.refresh_replica()
    assert replica("lrm_status") == "a"
    store.refresh_replica(wholly=True)
    assert replica("lrm_status") == "later"


def test_another_key_is_another_cluster(tmp_path: Path) -> None:
    assert cluster_directory(tmp_path, b"one") != cluster_directory(tmp_path, b"two")


def test_replicas_follow_changes_and_removals(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "nodes" / "pve1").mkdir(parents=True)
    (source / "nodes" / "pve1" / "lrm_status").write_text("{}")
    mirror(source, target)
    assert (target / "nodes" / "pve1" / "lrm_status").read_text() == "{}"
    (source / "nodes" / "pve1" / "lrm_status").unlink()
    (source / "nodes" / "pve1" / "lrm_status").mkdir()
    (source / "new").write_text("x")
    mirror(source, target)
    assert (target / "nodes" / "pve1" / "lrm_status").is_dir()
    assert (target / "new").read_text() == "x"
    (source / "new").unlink()
    mirror(source, target)
    assert not (target / "new").exists()


def test_only_a_lock_that_nobody_renews_expires(tmp_path: Path) -> None:
    now = 0.0
    table = LockTable(120.0, clock=lambda: now)
    lock = tmp_path / "ha_manager_lock"
    lock.mkdir()
    table.release_if_expired(lock)
    now = 119.0
    table.release_if_expired(lock)
    assert lock.exists()
    os.utime(lock, (1, 1))  # renewed
    now = 200.0
    table.release_if_expired(lock)
    now = 319.0
    table.release_if_expired(lock)
    assert lock.exists()
    now = 320.0
    table.release_if_expired(lock)
    assert not lock.exists()


def test_only_the_agents_locks_follow_the_labs_pace(tmp_path: Path) -> None:
    now = 0.0
    table = LockTable(12.0, clock=lambda: now)
    agent, domain = tmp_path / "ha_agent_pve1_lock", tmp_path / "domain-ha"
    for lock in (agent, domain):
        lock.mkdir()
        table.release_if_expired(lock)
    now = 12.0
    for lock in (agent, domain):
        table.release_if_expired(lock)
    assert not agent.exists()
    assert domain.exists()


def test_members_are_shown_as_pmxcfs_shows_them() -> None:
    nodes = "".join(
        f"node {{ name: pve{number} nodeid: {number} quorum_votes: 1 ring0_addr: 10.10.1.10{number} }}\n"
        for number in (1, 2)
    )
    conf = CorosyncConf.parse(f"nodelist {{ {nodes} }} totem {{ cluster_name: proxmox config_version: 2 }}")
    view = ClusterView(
        "pve2", conf, quorate=True, online=frozenset({1, 2}), addresses={"pve1": "10.10.1.101"}, version=4
    )
    assert json.loads(view.render()) == {
        "nodename": "pve2",
        "version": 4,
        "cluster": {"name": "proxmox", "version": 2, "nodes": 2, "quorate": 1},
        "nodelist": {"pve1": {"id": 1, "online": 1, "ip": "10.10.1.101"}, "pve2": {"id": 2, "online": 1}},
    }
    assert json.loads(ClusterView("pve1").render()) == {"nodename": "pve1", "version": 0}


def test_a_node_has_told_how_it_is_some_seconds_after_it_came_and_not_while_it_is_gone() -> None:
    now = 0.0
    reports = Reports("pve1", 5.0, clock=lambda: now)
    nodes = "".join(f"node {{ name: pve{number} nodeid: {number} ring0_addr: 10.0.0.{number} }}\n" for number in (1, 2))
    conf = CorosyncConf.parse(f"nodelist {{ {nodes} }} totem {{ cluster_name: proxmox config_version: 2 }}")
    both, alone = (ClusterView("pve1", conf, online=frozenset(ids)) for ids in ((1, 2), (1,)))
    assert reports.render(ClusterView("pve1")) == ""
    now = 5.0
    assert reports.render(both) == "pve-node-9.0/pve1:\n"
    now = 10.0
    assert reports.render(both) == "pve-node-9.0/pve1:\npve-node-9.0/pve2:\n"
    assert reports.render(alone) == "pve-node-9.0/pve1:\n"
    assert reports.render(both) == "pve-node-9.0/pve1:\n"


def test_guests_are_found_on_all_nodes(tmp_path: Path) -> None:
    for relative in ("nodes/pve1/qemu-server/100.conf", "nodes/pve2/lxc/300.conf", "nodes/pve2/lxc/notes.txt"):
        (tmp_path / relative).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / relative).touch()
    assert {vmid: (entry["node"], entry["type"]) for vmid, entry in guests(tmp_path).items()} == {
        100: ("pve1", "qemu"),
        300: ("pve2", "lxc"),
    }
    assert set(json.loads(render_guests(tmp_path))["ids"]) == {"100", "300"}
