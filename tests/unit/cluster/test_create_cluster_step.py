"""The step that creates the cluster, on nodes that answer: created once, adopted afterwards, or refused."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cluster.contract import ClusterCreation
from cluster.errors import AdminError
from cluster.steps import create_cluster
from onnode.cluster import admission
from onnode.cluster import create_cluster as on_node_step
from onnode.contract.formation import CreateCluster
from onnode.errors import StepError
from tests.support.fake_machine import FakeMachine
from tests.support.onnode_worlds import run
from tests.unit.cluster.live_nodes import CALL, DOWN
from tests.unit.cluster.worlds import CLUSTER, joined, member, members
from tests.unit.onnode.test_cluster import CREATE as ON_NODE
from tests.unit.onnode.test_cluster import Joiner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnode.step import Outcome
    from onnode.system.machine import Result
    from tests.unit.cluster.live_nodes import LiveNodes

CREATE = ClusterCreation(CLUSTER, "proxmox01", members(3), 180)
ON_SEED = CreateCluster(CLUSTER, "proxmox01", 1, 1, member(1).links, timeout_s=180)


def bring_about(**changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(create_cluster.bring_about(ClusterCreation(**{**vars(CREATE), **changes}), CALL))


def test_it_is_created_on_the_seed_and_a_second_run_does_nothing(nodes: LiveNodes) -> None:
    first = bring_about()
    assert (first.changed, first.facts) == (True, {"cluster": CLUSTER, "adopted": False})
    assert [(act.node, act.what, act.wanted) for act in nodes.acts] == [("proxmox01", "create-cluster", ON_SEED)]
    second = bring_about()
    assert (second.changed, second.facts) == (False, {"cluster": CLUSTER, "adopted": True})
    assert len(nodes.acts) == 1


def test_another_seed_creates_it_with_its_own_links(nodes: LiveNodes) -> None:
    bring_about(seed="proxmox02")
    [act] = nodes.acts
    assert act.node == act.wanted.node == "proxmox02"
    assert act.wanted.links == member(2).links


def test_the_node_gives_up_before_the_connection_does(nodes: LiveNodes, tmp_path: Path) -> None:
    """Only the step on the node can say why. It may wait for the command, and then as long again for the quorum."""
    bring_about()
    machine = FakeMachine(tmp_path)
    seed = Joiner(machine)
    seed.systemd.broken.add("corosync")

    def slow(arguments: list[str], stdin: str) -> str | Result:
        machine.seconds += CREATE.timeout_s
        return seed.pvecm(arguments, stdin)

    machine.programs["pvecm"] = slow
    began = machine.monotonic()
    with pytest.raises(StepError) as failed:
        run(machine, on_node_step.STEP, dataclasses.replace(ON_NODE, timeout_s=CREATE.timeout_s))
    assert failed.value.code == "no-quorum"
    waited = machine.monotonic() - began
    assert waited >= 2 * CREATE.timeout_s
    assert nodes.acts[0].timeout_s > waited + admission.SERVICE_S


@pytest.mark.parametrize("silent", ["proxmox01", "proxmox02"])
def test_an_existing_cluster_is_adopted_though_a_member_is_down(nodes: LiveNodes, silent: str) -> None:
    nodes.form(1, 2, 3)
    nodes.silent[silent] = DOWN
    outcome = bring_about()
    assert (outcome.changed, outcome.facts["adopted"], nodes.acts) == (False, True, [])


def seed_was_reinstalled(nodes: LiveNodes) -> None:
    nodes.reports |= {f"proxmox0{number}": joined(number, 2, 3) for number in (2, 3)}


def one_more_is_listed(nodes: LiveNodes) -> None:
    nodes.reports |= {f"proxmox0{number}": joined(number, 1, 2, 4) for number in (1, 2)}


def seed_has_stopped(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    nodes.change(1, quorum=None, quorate=False, links=[])


@pytest.mark.parametrize("world", [seed_was_reinstalled, one_more_is_listed, seed_has_stopped])
def test_in_an_existing_cluster_the_seed_is_a_node_as_any_other(
    nodes: LiveNodes, world: Callable[[LiveNodes], None]
) -> None:
    """It joins, or is started, by the step that joins it; who is described no more leaves later."""
    world(nodes)
    outcome = bring_about()
    assert (outcome.changed, outcome.facts["adopted"], nodes.acts) == (False, True, [])


def one_is_elsewhere(nodes: LiveNodes) -> None:
    nodes.reports["proxmox02"] = joined(2, 2, cluster="office")


def one_is_silent(nodes: LiveNodes) -> None:
    nodes.silent["proxmox03"] = DOWN


def of_an_old_release(nodes: LiveNodes) -> None:
    nodes.reports["proxmox01"] = joined(1, 1, transport="udpu")


@pytest.mark.parametrize(
    ("world", "code"),
    [
        (one_is_elsewhere, "other-cluster"),
        (one_is_silent, "host-unreachable"),
        (of_an_old_release, "corosync-transport"),
    ],
)
def test_a_refusal_touches_no_node(nodes: LiveNodes, world: Callable[[LiveNodes], None], code: str) -> None:
    world(nodes)
    before = dict(nodes.reports)
    with pytest.raises(StepError) as refused:
        bring_about()
    assert (refused.value.code, nodes.acts, nodes.reports) == (code, [], before)


def test_what_the_seed_says_itself_is_passed_on_with_its_name(nodes: LiveNodes) -> None:
    nodes.errors["create-cluster"] = AdminError("no-quorum", "proxmox01 is not in a quorate cluster", observed="x")
    with pytest.raises(StepError) as failed:
        bring_about()
    assert failed.value.code == "no-quorum"
    assert "proxmox01 is not in a quorate cluster" in failed.value.render()
    assert "on: proxmox01" in failed.value.render()
