"""Changes of a machine's network: made over one connection, and confirmed over another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cluster import network_change
from cluster.contract import HostNetwork, NodeNetworks, Ownership
from cluster.errors import AdminError
from cluster.steps import arm_network, node_network, ownership
from onnode.contract.node import ArmNetwork, LinkInterface, NodeNetwork
from onnode.errors import StepError
from onnode.step import Outcome
from tests.unit.cluster.live_nodes import CALL
from tests.unit.cluster.worlds import member

if TYPE_CHECKING:
    from cluster.call import Call
    from tests.unit.cluster.live_nodes import LiveNodes

NETWORK = NodeNetwork("proxmox01", "192.168.0.185", 9, [LinkInterface("10.10.1.185/24", None)])
WANTED = NodeNetworks(member(1), NETWORK)
INTERFACES = ["ens19"]
CHANGE, CONFIRM = ("proxmox01", "node-network"), ("proxmox01", "confirm-network")
UNREACHABLE = AdminError("host-unreachable", "the connection broke", observed="reset by peer", expected="an answer")


@pytest.fixture(autouse=True)
def changed(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes.facts |= {"node-network": {"armed": True, "interfaces": INTERFACES}, "confirm-network": {}}
    monkeypatch.setattr(network_change, "PAUSE_S", 0)


def bring_about() -> Outcome:
    return asyncio.run(node_network.bring_about(WANTED, CALL))


@pytest.mark.parametrize(("armed", "did"), [(True, [CHANGE, CONFIRM]), (False, [CHANGE])])
def test_only_a_change_that_undoes_itself_is_confirmed(
    nodes: LiveNodes, *, armed: bool, did: list[tuple[str, str]]
) -> None:
    nodes.facts["node-network"]["armed"] = armed
    assert bring_about() == Outcome(changed=True, facts={"interfaces": INTERFACES})
    assert nodes.done == did
    assert nodes.acts[0].wanted == NETWORK
    assert len(nodes.logins) == len(did)


@pytest.mark.parametrize("code", ["host-unreachable", "ssh-timeout"])
def test_a_connection_that_breaks_meanwhile_is_confirmed_and_the_change_is_looked_at_again(
    nodes: LiveNodes, code: str
) -> None:
    nodes.breaks["node-network"] = [AdminError(code, "broke", observed="reset by peer")]
    assert bring_about().changed
    assert nodes.done == [CHANGE, CONFIRM, CHANGE, CONFIRM]


def test_a_connection_that_breaks_twice_is_reported_as_it_was(nodes: LiveNodes) -> None:
    nodes.breaks["node-network"] = [UNREACHABLE, UNREACHABLE]
    with pytest.raises(AdminError) as failed:
        bring_about()
    assert failed.value.render() == UNREACHABLE.render()
    assert nodes.done == [CHANGE, CONFIRM, CHANGE]


@pytest.mark.parametrize("code", ["host-key-mismatch", "step-broken"])
def test_what_failed_otherwise_is_not_tried_again(nodes: LiveNodes, code: str) -> None:
    nodes.breaks["node-network"] = [AdminError(code, "no")]
    with pytest.raises(AdminError) as failed:
        bring_about()
    assert (failed.value.code, nodes.done) == (code, [CHANGE])


def test_a_node_that_takes_no_connection_was_not_changed(nodes: LiveNodes) -> None:
    nodes.silent["proxmox01"] = UNREACHABLE
    with pytest.raises(AdminError):
        bring_about()
    assert (len(nodes.logins), nodes.done) == (1, [])


def test_a_confirmation_waits_for_the_change_to_end(nodes: LiveNodes) -> None:
    nodes.breaks["confirm-network"] = [AdminError("machine-busy", "a step is at work")] * 2
    assert bring_about().changed
    assert nodes.done == [CHANGE, CONFIRM, CONFIRM, CONFIRM]


def test_a_change_that_was_put_back_is_no_success(nodes: LiveNodes) -> None:
    del nodes.facts["confirm-network"]
    nodes.errors["confirm-network"] = StepError("network-reverted", "put back")
    with pytest.raises(StepError) as failed:
        bring_about()
    assert failed.value.code == "network-reverted"


HOST = HostNetwork(member(1), "bridge vmbr1 of stack dev", "vmbr1")
OWNED = Ownership([member(1)], "dev", "bridge", "virtual/vmbr1", "foreign-bridge")


def test_each_arming_has_a_mark_of_its_own(nodes: LiveNodes) -> None:
    nodes.facts["arm-network"] = {}
    for step in (arm_network.bring_about, arm_network.remove):
        assert asyncio.run(step(HOST, CALL)) == Outcome(changed=True, facts={})
    first, second = (act.wanted for act in nodes.acts)
    assert first == ArmNetwork(HOST.change, first.run)
    assert len({first.run, second.run} - {""}) == 2


def test_nothing_is_armed_for_somebody_elses_bridge(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Ownership, Call]] = []

    async def foreign(desired: Ownership, call: Call) -> Outcome:
        asked.append((desired, call))
        raise AdminError("foreign-bridge", "no")

    monkeypatch.setattr(ownership, "bring_about", foreign)
    with pytest.raises(AdminError):
        asyncio.run(arm_network.bring_about(replace(HOST, ownership=OWNED), CALL))
    assert (asked, nodes.acts) == ([(OWNED, CALL)], [])
