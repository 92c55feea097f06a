"""What goes wrong while a cluster forms, one fault after another on the same three nodes.

Each is named and leaves the cluster as it was; the next run goes on from there, which is why this is one story.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.bad_world import BLOCK, refusal, succeeded
from tests.support.processes import end_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bad_world import BadWorld

NODES = {"pve1": "192.168.0.101", "pve2": "192.168.0.102", "pve3": "192.168.0.103"}
SHIM = "/usr/local/sbin/pvecm"  # found before the real one
# What `pvecm add` has done to people: it printed something, exited 0, and the node was no member (F3).
JOINS_NOTHING = """#!/bin/sh
[ "$1" = add ] || exec /usr/sbin/pvecm "$@"
echo "Establishing API connection with host '$2'"
"""
# The power goes as soon as the cluster has taken the node in (F2).
LOSES_POWER = """#!/bin/sh
[ "$1" = add ] || exec /usr/sbin/pvecm "$@"
(until [ -s /etc/corosync/corosync.conf ]; do sleep 0.05; done; rm -f "$0"; sync; reboot --force --force) &
exec /usr/sbin/pvecm "$@"
"""
# What a machine's owner has tied to the first link's interface, which no check of ours foresees: when it comes up, one
# machine loses its management address, one starts anew.
HOOK = "/usr/local/sbin/of-the-owner"
CUTS_OFF = """#!/bin/sh
ip address flush dev "$(ip -o address show to 192.168.0.101 | cut -d' ' -f2)"
"""
STARTS_ANEW = """#!/bin/sh
reboot --force --force
"""
FILE = "/etc/network/interfaces"
PACKAGES = "/var/lib/dpkg/status"
INTERFACES = f"cat {FILE}"


def members(world: BadWorld, seen_from: str) -> set[str]:
    """Whom a node's Corosync configuration lists; nobody when it has none."""
    text = world.ssh(NODES[seen_from], "cat /etc/corosync/corosync.conf || true").output
    return set(re.findall(r"^\s+name: (\S+)", text, re.MULTILINE))


def shell(world: BadWorld, node: str, command: str) -> str:
    return succeeded(world.ssh(NODES[node], command)).output


@contextmanager
def pvecm(world: BadWorld, node: str, script: str) -> Iterator[None]:
    """Another `pvecm` on a node."""
    shell(world, node, f"cat > {SHIM} <<'EOF'\n{script}EOF\nchmod +x {SHIM}")
    try:
        yield
    finally:
        assert world.eventually(lambda: world.ssh(NODES[node], f"rm -f {SHIM}").code == 0)


@contextmanager
def hook(world: BadWorld, node: str, script: str) -> Iterator[None]:
    """Something that a node does whenever the first link's interface comes up, which it does not do by itself yet."""
    shell(world, node, f"cat > {HOOK} <<'EOF'\n{script}EOF\nchmod +x {HOOK}; cp {FILE} {FILE}.kept")
    shell(world, node, f"printf '\\niface eth1 inet manual\\n\\tpost-up {HOOK}\\n' >> {FILE}")
    try:
        yield
    finally:
        assert world.eventually(lambda: world.ssh(NODES[node], f"rm -f {HOOK}; mv {FILE}.kept {FILE}").code == 0)


def changes_that_cut_machines_off_are_taken_back(world: BadWorld) -> None:
    with hook(world, "pve1", CUTS_OFF), hook(world, "pve2", STARTS_ANEW), world.a_guard_that_waits_less():
        before = {node: shell(world, node, INTERFACES) for node in ("pve1", "pve2")}
        run = world.admin("up")
        assert {node: shell(world, node, INTERFACES) for node in before} == before, run.output
    assert "10.10.1.101/24" in refusal(run, "network-reverted")
    told = [block[0] for block in BLOCK.finditer(run.output) if block["code"] == "network-reverted"]
    assert {node for node in NODES if any(node in text for text in told)} == set(before), run.output
    assert "10.10.1.103/24" in shell(world, "pve3", INTERFACES)


@contextmanager
def wrong_switch_port(world: BadWorld, port: str, bridge: str) -> Iterator[None]:
    """The cable is in, its lamp is on, and nobody is at the other end."""
    succeeded(world.run(world.command("ip", "link", "set", "dev", port, "nomaster")))
    try:
        yield
    finally:
        succeeded(world.run(world.command("ip", "link", "set", "dev", port, "master", bridge)))


@contextmanager
def no_answer_to_ping(world: BadWorld) -> Iterator[None]:
    """As behind Proxmox' firewall, which answers no echo request by default."""
    ping = f"ping -c 1 -W 1 {NODES['pve2']}"
    assert world.ssh(NODES["pve1"], ping).code == 0
    for node in NODES:
        shell(world, node, "sysctl -q -w net.ipv4.icmp_echo_ignore_all=1")
    try:
        assert world.ssh(NODES["pve1"], ping).code != 0
        yield
    finally:
        for node in NODES:
            shell(world, node, "sysctl -q -w net.ipv4.icmp_echo_ignore_all=0")


def test_each_fault_while_forming_is_named_and_the_next_run_goes_on(existing_nodes: BadWorld) -> None:
    changes_that_cut_machines_off_are_taken_back(existing_nodes)
    a_link_that_leads_nowhere_stops_everything_before_a_cluster_is_made(existing_nodes)
    with no_answer_to_ping(existing_nodes):
        a_run_is_killed_during_a_join(existing_nodes)
        the_next_run_goes_on_and_a_join_that_only_claims_success_is_not_believed(existing_nodes)
    a_node_of_another_release_does_not_join(existing_nodes)
    nothing_joins_through_a_seed_without_quorum(existing_nodes)
    a_node_that_reboots_while_it_joins_is_not_lost(existing_nodes)
    a_link_cut_between_two_joins_is_named(existing_nodes)
    succeeded(existing_nodes.admin("up"))
    assert members(existing_nodes, "pve1") == set(NODES)
    succeeded(existing_nodes.admin("status"))


def a_link_that_leads_nowhere_stops_everything_before_a_cluster_is_made(world: BadWorld) -> None:
    with wrong_switch_port(world, "pve2-eth1", "link0"):
        said = refusal(world.admin("up"), "link-unreachable")
    assert "link 0" in said
    assert "pve2" in said
    assert [members(world, node) for node in NODES] == [set(), set(), set()]


def a_run_is_killed_during_a_join(world: BadWorld) -> None:
    run = world.start_admin("up")
    try:
        assert world.eventually(lambda: "pve2" in members(world, "pve1"), 120)
    finally:
        end_all(run.pid)
        run.wait()


def the_next_run_goes_on_and_a_join_that_only_claims_success_is_not_believed(world: BadWorld) -> None:
    with pvecm(world, "pve3", JOINS_NOTHING):
        run = world.admin("up")
    # The killed run's step went on without it: this one has waited for that, and not joined the node a second time.
    assert "cleared the lock" in run.output
    assert "pve3" in refusal(run, "join-failed")
    assert members(world, "pve1") == members(world, "pve2") == {"pve1", "pve2"}
    assert members(world, "pve3") == set()


def a_node_of_another_release_does_not_join(world: BadWorld) -> None:
    """As one that missed the upgrade of the others, which nobody could use once it had joined (F10)."""
    shell(world, "pve3", f"sed -i.kept '/^Package: pve-manager$/,/^$/s/^Version: 9/Version: 8/' {PACKAGES}")
    try:
        said = refusal(world.admin("up"), "version-mismatch")
    finally:
        shell(world, "pve3", f"mv {PACKAGES}.kept {PACKAGES}")
    assert "pve3 8." in said
    assert members(world, "pve1") == {"pve1", "pve2"}
    assert members(world, "pve3") == set()


def nothing_joins_through_a_seed_without_quorum(world: BadWorld) -> None:
    shell(world, "pve2", "systemctl stop corosync")
    try:
        assert world.eventually(lambda: "Quorate:          No" in world.ssh(NODES["pve1"], "pvecm status").output)
        said = refusal(world.admin("up"), "member-not-working")
    finally:
        shell(world, "pve2", "systemctl start corosync")
    assert "pve1 is not quorate" in said
    assert members(world, "pve1") == {"pve1", "pve2"}
    assert members(world, "pve3") == set()
    assert world.eventually(lambda: "Quorate:          Yes" in world.ssh(NODES["pve1"], "pvecm status").output)


def a_node_that_reboots_while_it_joins_is_not_lost(world: BadWorld) -> None:
    before = shell(world, "pve3", "cat /proc/sys/kernel/random/boot_id")
    with pvecm(world, "pve3", LOSES_POWER):
        run = world.admin("up")
    assert shell(world, "pve3", "cat /proc/sys/kernel/random/boot_id") != before
    refusal(run, "host-unreachable")


def a_link_cut_between_two_joins_is_named(world: BadWorld) -> None:
    world.lab("link", "cut", "pve2", "1")
    try:
        run = world.admin("up")
    finally:
        world.lab("link", "restore", "pve2", "1")
    # By the joining node itself, or from both sides if the node was a member already when its power came back.
    by_itself = "error[link-not-connected]" in run.output
    said = refusal(run, "link-not-connected" if by_itself else "cluster-not-as-described")
    assert "link 1" in said
    assert "pve2" in said
