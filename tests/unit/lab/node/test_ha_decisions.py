"""What the lab's HA manager decides, against Proxmox' documented timing, states and logs."""

from __future__ import annotations

import dataclasses

import pytest
from pvelab.ha.model import Request, Resource
from pvelab.ha.placement import Affinities, NodeAffinity, ResourceAffinity

from tests.support.ha_simulator import World

VM = "vm:100"


@pytest.fixture
def world() -> World:
    return World()


def with_guest(world: World, node: str = "node2", sid: str = VM, **settings: object) -> World:
    world.resources[sid] = Resource(sid, node, **settings)  # type: ignore[arg-type]
    return world


def configure(world: World, sid: str = VM, **changes: object) -> None:
    world.resources[sid] = dataclasses.replace(world.resources[sid], **changes)  # type: ignore[arg-type]


def test_a_new_resource_is_started_where_it_is(world: World) -> None:
    with_guest(world).run(60)
    assert world.state(VM) == "started"
    assert world.running == {VM: "node2"}
    assert world.starts[0][2] == "node2"


def test_an_idle_cluster_arms_no_watchdog(world: World) -> None:
    world.run(120)
    assert not world.watchdogs
    with_guest(world).run(60)
    assert {name for name, _ in world.watchdogs.values()} == {"node2", world.manager_status["master_node"]}


# The order of a failover's lines in the journal of a real master (PVE 9.1, public transcript of a node loss).
REAL_FAILOVER = [
    "node 'node2': state changed from 'online' => 'unknown'",
    "service 'vm:100': state changed from 'started' to 'fence'",
    "node 'node2': state changed from 'unknown' => 'fence'",
    "fencing: acknowledged - got agent lock for node 'node2'",
    "service 'vm:100': state changed from 'fence' to 'recovery'",
    "recover service 'vm:100' from fenced node 'node2' to node 'node1'",
    "service 'vm:100': state changed from 'recovery' to 'started'  (node = node1)",
]


def test_an_isolated_node_is_reset_before_its_guest_is_started_elsewhere(world: World) -> None:
    with_guest(world).run(60)
    world.log.clear()
    world.starts.clear()
    isolated_at = world.now
    world.nodes["node2"].network = False
    world.run(240)
    positions = [world.messages().index(line) for line in REAL_FAILOVER]
    assert positions == sorted(positions)
    assert world.running == {VM: "node1"}
    reset, recovered = world.time_of("watchdog: reset node2"), world.starts[0][0]
    assert reset < recovered
    # "about 2 minutes", says Proxmox' manual; the agent lock alone takes 120 s to expire.
    assert 100 <= recovered - isolated_at <= 160


def test_the_guest_of_a_dead_node_is_started_elsewhere(world: World) -> None:
    with_guest(world).run(60)
    world.power_off("node2")
    world.run(60)
    assert world.running == {}
    world.run(120)
    assert world.running == {VM: "node1"}
    assert world.resources[VM].node == "node1"


def test_another_node_takes_over_from_a_dead_master(world: World) -> None:
    with_guest(world).run(60)
    master = world.manager_status["master_node"]
    other = next(name for name in world.nodes if name not in (master, "node2"))
    assert master != "node2"
    world.power_off(master)
    world.run(180)
    assert world.manager_status["master_node"] in ("node2", other)
    assert world.manager_status["timestamp"] > world.now - 15


def test_without_quorum_nothing_is_recovered_and_active_nodes_reset_themselves(world: World) -> None:
    with_guest(world).run(60)
    for name in world.nodes:
        world.nodes[name].network = False
    world.run(300)
    assert world.running == {}
    assert world.resources[VM].node == "node2"
    assert "watchdog: reset node2" in world.messages()
    idle = {"node1", "node2", "node3"} - {"node2", world.manager_status["master_node"]}
    assert all(world.nodes[name].power for name in idle)


def test_a_short_loss_of_quorum_does_no_harm(world: World) -> None:
    with_guest(world).run(60)
    world.nodes["node2"].network = False
    world.run(20)
    world.nodes["node2"].network = True
    world.run(200)
    assert world.running == {VM: "node2"}
    assert not any("watchdog" in message for message in world.messages())


def test_a_strict_rule_keeps_the_guest_in_recovery_until_an_allowed_node_is_back(world: World) -> None:
    world.affinities = Affinities(nodes={VM: NodeAffinity({"node2": 0}, strict=True)})
    with_guest(world).run(60)
    world.power_off("node2")
    world.run(300)
    assert world.state(VM) == "recovery"
    assert world.running == {}
    world.power_on("node2")
    world.run(120)
    assert world.running == {VM: "node2"}


def test_a_loose_rule_prefers_its_nodes_but_takes_others(world: World) -> None:
    world.affinities = Affinities(nodes={VM: NodeAffinity({"node2": 2, "node3": 1})})
    with_guest(world).run(60)
    world.power_off("node2")
    world.run(200)
    assert world.running == {VM: "node3"}
    world.power_off("node3")
    world.run(300)
    assert world.running == {}  # one of three has no quorum
    world.power_on("node2")
    world.run(300)
    assert world.running == {VM: "node2"}


@pytest.mark.parametrize(("failback", "expected"), [(True, "node2"), (False, "node1")])
def test_failback_decides_whether_the_guest_returns(world: World, *, failback: bool, expected: str) -> None:
    world.affinities = Affinities(nodes={VM: NodeAffinity({"node2": 1})})
    with_guest(world, failback=failback).run(60)
    world.power_off("node2")
    world.run(200)
    assert world.running == {VM: "node1"}
    world.power_on("node2")
    world.run(120)
    assert world.running == {VM: expected}


def test_guests_that_keep_apart_recover_to_different_nodes(world: World) -> None:
    world.affinities = Affinities(resources=(ResourceAffinity(frozenset({VM, "vm:101"}), together=False),))
    with_guest(with_guest(world), "node1", "vm:101").run(60)
    world.power_off("node2")
    world.run(200)
    assert world.running == {VM: "node3", "vm:101": "node1"}


def test_a_failing_start_is_retried_then_relocated_then_an_error(world: World) -> None:
    world.failing = {(VM, name) for name in world.nodes}
    with_guest(world, max_restart=1, max_relocate=1).run(200)
    assert world.state(VM) == "error"
    places = [place for _, _, place in world.starts]
    assert places[:2] == ["node2", "node2"]
    assert len(places) == 4
    assert places[2] == places[3] != "node2"
    # The only way out of the error state.
    world.failing.clear()
    configure(world, state=Request.STARTED)
    world.run(60)
    assert world.state(VM) == "error"
    configure(world, state=Request.DISABLED)
    world.run(60)
    assert world.state(VM) == "stopped"
    configure(world, state=Request.STARTED)
    world.run(60)
    assert world.state(VM) == "started"


def test_restart_policy_alone_is_as_in_proxmox_own_regression_test(world: World) -> None:
    """test-resource-failure5 of pve-ha-manager: no relocation allowed."""
    world.failing = {(VM, "node2")}
    with_guest(world, max_restart=1, max_relocate=0).run(120)
    expected = [
        "restart policy: retry number 1 for service 'vm:100'",
        "unable to start service vm:100 on local node after 1 retries",
        "recovery policy for service vm:100 failed, entering error state. Failed nodes: node2",
        "service 'vm:100': state changed from 'started' to 'error'",
    ]
    assert [message for message in world.messages() if message in expected] == expected


@pytest.mark.parametrize("state", [Request.STOPPED, Request.DISABLED])
def test_a_guest_is_stopped_on_request(world: World, state: Request) -> None:
    with_guest(world).run(60)
    configure(world, state=state)
    world.run(60)
    assert world.state(VM) == "stopped"
    assert world.running == {}


def test_an_ignored_guest_is_left_alone(world: World) -> None:
    with_guest(world).run(60)
    configure(world, state=Request.IGNORED)
    world.run(60)
    assert world.state(VM) is None
    assert world.running == {VM: "node2"}


def test_a_guest_that_died_is_started_again(world: World) -> None:
    with_guest(world).run(60)
    del world.running[VM]
    world.run(60)
    assert world.running == {VM: "node2"}


@pytest.mark.parametrize(("verb", "restarts"), [("migrate", 0), ("relocate", 1)])
def test_a_guest_moves_on_command(world: World, verb: str, restarts: int) -> None:
    with_guest(world).run(60)
    world.starts.clear()
    world.commands.append(f"{verb} {VM} node3")
    world.run(60)
    assert world.state(VM) == "started"
    assert world.running == {VM: "node3"}
    assert len(world.starts) == restarts


def test_a_move_to_a_node_that_is_away_is_refused(world: World) -> None:
    with_guest(world).run(60)
    world.power_off("node3")
    world.run(30)
    world.commands.append(f"migrate {VM} node3")
    world.run(30)
    assert f"crm command error - node not online: migrate {VM} node3" in world.messages()
    assert world.running == {VM: "node2"}


def test_a_rebooting_node_freezes_its_guest_instead_of_losing_it(world: World) -> None:
    with_guest(world).run(60)
    world.nodes["node2"].shutting_down = (True, True)
    world.agents["node2"][1].request_shutdown()
    world.run(40)
    assert world.state(VM) == "freeze"
    world.power_off("node2")
    world.run(200)
    assert world.state(VM) == "freeze"
    assert world.running == {}
    world.power_on("node2")
    world.run(60)
    assert world.running == {VM: "node2"}
