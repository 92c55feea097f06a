"""The step that lets a node join, on nodes that answer: joined and seen from both sides, found joined, or refused."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cluster.call import Call
from cluster.contract import JoinNode, Secrets
from cluster.errors import AdminError
from cluster.steps import join_node
from cluster.transport.ssh import Completed
from onnode.cluster import admission, join_cluster
from onnode.contract.formation import JoinCluster
from onnode.errors import StepError
from onnode.step import Outcome
from tests.support.fake_machine import FakeMachine
from tests.support.onnode_worlds import run
from tests.support.program import PRIVATE_KEY
from tests.unit.cluster.live_nodes import CALL, DOWN, OWN_KEY, fresh
from tests.unit.cluster.worlds import CLUSTER, cut, joined, listed, member, members, quorum
from tests.unit.onnode.test_cluster import JOIN, Joiner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cluster.live_nodes import LiveNodes

SECOND = JoinNode(CLUSTER, member(2), members(1), 180)
THIRD = JoinNode(CLUSTER, member(3), members(2), 180)
AT_ONCE = 0  # one look, and no waiting
JOINED = Outcome(changed=True, facts={"cluster": CLUSTER, "member": "proxmox02"})


def bring_about(wanted: JoinNode, call: Call = CALL, **changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(join_node.bring_about(dataclasses.replace(wanted, **changes), call))


def test_nodes_join_one_by_one_and_a_second_run_does_nothing(nodes: LiveNodes) -> None:
    nodes.form(1)
    assert bring_about(SECOND) == JOINED
    assert bring_about(THIRD).changed
    assert nodes.done == [("proxmox02", "join-cluster"), ("proxmox03", "join-cluster")]
    assert bring_about(SECOND) == dataclasses.replace(JOINED, changed=False)
    assert not bring_about(THIRD).changed
    assert len(nodes.acts) == 2


def test_the_joiner_is_told_how_to_get_in(nodes: LiveNodes) -> None:
    """Through the seed, whose certificate was read over SSH a moment ago."""
    nodes.form(1, 2)
    nodes.change(1, api_fingerprint="AA:BB:01")
    bring_about(THIRD)
    [act] = nodes.acts
    assert act.wanted == JoinCluster(
        cluster=CLUSTER,
        node="proxmox03",
        node_id=3,
        votes=1,
        seed_address=member(1).address,
        seed_fingerprint="AA:BB:01",
        root_password="root-secret",
        links=member(3).links,
        timeout_s=180,
        listed=False,
    )


SEED = JoinNode(CLUSTER, member(1), [member(2), member(3)], 180)


def test_who_created_the_cluster_has_joined_it_while_nobody_else_has(nodes: LiveNodes) -> None:
    nodes.form(1)
    assert (bring_about(SEED).changed, nodes.acts) == (False, [])


def test_a_seed_that_was_installed_anew_joins_through_the_first_member_that_works(nodes: LiveNodes) -> None:
    nodes.form(2, 3)
    nodes.change(2, pve_writable=False, state="half")
    assert bring_about(SEED).changed
    assert [(act.node, act.wanted.seed_address) for act in nodes.acts] == [("proxmox01", member(3).address)]


def test_the_next_member_is_asked_where_one_has_another_root_password(nodes: LiveNodes) -> None:
    """Nothing was changed by the first try. If all refuse it, that is said."""
    nodes.form(1, 2)
    refuses = AdminError("join-password", "`pvecm add` did not join proxmox03", observed="401")
    nodes.refusals["join-cluster"] = [refuses]
    assert bring_about(THIRD).changed
    assert [act.wanted.seed_address for act in nodes.acts] == [member(1).address, member(2).address]


def test_if_all_members_have_another_root_password_it_is_said(nodes: LiveNodes) -> None:
    nodes.form(1, 2)
    nodes.errors["join-cluster"] = AdminError("join-password", "`pvecm add` did not join proxmox03", observed="401")
    with pytest.raises(StepError) as failed:
        bring_about(THIRD)
    assert (failed.value.code, len(nodes.acts)) == ("join-password", 2)


def test_a_member_that_is_off_holds_up_no_replacement(nodes: LiveNodes) -> None:
    """Node 1 is off, node 2 was lost and released: three of four vote, and three of five are needed while it joins."""
    nodes.form(1, 3, 4, 5)
    nodes.silent["proxmox01"] = DOWN
    for number in (3, 4, 5):
        nodes.change(number, quorum=quorum([3, 4, 5], expected=4))
    wanted = JoinNode(CLUSTER, member(2), [member(1), member(3)], 180)
    assert bring_about(wanted, dataclasses.replace(CALL, previous={"member": "proxmox02"})).changed
    assert [(act.node, act.wanted.seed_address) for act in nodes.acts] == [("proxmox02", member(3).address)]


def test_a_new_node_does_not_join_while_a_member_is_off_that_would_come_back_without_knowing_it(
    nodes: LiveNodes,
) -> None:
    """Three of four vote, and three of five are needed: the quorum is no reason."""
    nodes.form(1, 3, 4, 5)
    nodes.silent["proxmox01"] = DOWN
    for number in (3, 4, 5):
        nodes.change(number, quorum=quorum([3, 4, 5], expected=4))
    wanted = JoinNode(CLUSTER, member(2), [member(1), member(3)], 180)
    with pytest.raises(AdminError) as refused:
        bring_about(wanted)
    assert (refused.value.code, nodes.acts) == ("member-silent", [])
    assert refused.value.observed == "proxmox01: no vote, no answer"
    assert "power on proxmox01; then run the same command again; one that does not come back" in refused.value.fix
    del nodes.silent["proxmox01"]
    for number in (1, 3, 4, 5):
        nodes.change(number, quorum=quorum([1, 3, 4, 5], expected=4))
    assert bring_about(wanted).changed


def test_a_join_that_would_take_the_quorum_meanwhile_is_refused(nodes: LiveNodes) -> None:
    """Two of three vote; from its start, a fourth node makes that three of four."""
    nodes.form(1, 2, 3)
    nodes.silent["proxmox03"] = DOWN
    for number in (1, 2):
        nodes.change(number, quorum=quorum([1, 2], expected=3))
    nodes.reports["proxmox04"] = fresh(4)
    wanted = JoinNode(CLUSTER, member(4), members(3), 180)
    with pytest.raises(AdminError) as refused:
        bring_about(wanted)
    assert (refused.value.code, nodes.acts) == ("member-not-working", [])
    assert "proxmox03" in refused.value.observed


def test_the_node_gives_up_before_the_connection_does(nodes: LiveNodes, tmp_path: Path) -> None:
    """Only the step on the node can say why. It may wait for the command, and then as long again for the quorum."""
    nodes.form(1)
    bring_about(SECOND)
    machine = FakeMachine(tmp_path)
    on_node = Joiner(machine)
    on_node.reachable = False
    began = machine.monotonic()
    with pytest.raises(StepError) as failed:
        run(machine, join_cluster.STEP, JOIN)
    assert failed.value.code == "no-quorum"
    waited = machine.monotonic() - began
    assert waited >= 2 * SECOND.timeout_s
    assert nodes.acts[0].timeout_s > waited + admission.SERVICE_S


@pytest.mark.parametrize("silent", ["proxmox01", "proxmox02"])
def test_a_joined_node_is_found_joined_though_another_member_is_down(nodes: LiveNodes, silent: str) -> None:
    nodes.form(1, 2, 3)
    nodes.silent[silent] = DOWN
    assert (bring_about(THIRD).changed, nodes.acts) == (False, [])


def test_a_joined_node_whose_corosync_is_stopped_is_started(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    nodes.change(3, quorum=None, quorate=False, links=[])
    for number in (1, 2):
        nodes.change(number, quorum=quorum([1, 2], expected=3))
    assert bring_about(THIRD).changed
    assert [(act.node, act.wanted.listed) for act in nodes.acts] == [("proxmox03", True)]


def cut_off_after_it_was_taken_in(nodes: LiveNodes) -> None:
    """The second node counts, and cannot vote: the first one alone is not quorate any more."""
    nodes.form(1, 2)
    nodes.reports["proxmox02"] = fresh(2)
    nodes.change(1, quorate=False, pve_writable=False, quorum=quorum([1], expected=2), links=[cut(2, 0), cut(2, 1)])


def test_a_join_that_was_cut_off_is_done_again_after_the_votes_were_lowered(nodes: LiveNodes) -> None:
    cut_off_after_it_was_taken_in(nodes)
    nodes.commands["pvecm expected"] = lambda _node: Completed(0, "", "")
    assert bring_about(SECOND).changed
    assert nodes.done == [("proxmox01", "pvecm expected 1"), ("proxmox02", "join-cluster")]
    assert nodes.acts[1].wanted.listed


def test_no_join_is_tried_when_the_votes_cannot_be_lowered(nodes: LiveNodes) -> None:
    cut_off_after_it_was_taken_in(nodes)
    nodes.commands["pvecm expected"] = lambda _node: Completed(2, "", "cannot set expected votes\n")
    with pytest.raises(AdminError) as failed:
        bring_about(SECOND)
    assert (failed.value.code, failed.value.observed) == ("command-failed", "cannot set expected votes")
    assert nodes.done == [("proxmox01", "pvecm expected 1")]


def joiner_is_silent(nodes: LiveNodes) -> None:
    nodes.silent["proxmox03"] = DOWN


def a_member_is_silent(nodes: LiveNodes) -> None:
    nodes.silent["proxmox02"] = DOWN


def a_member_is_not_quorate(nodes: LiveNodes) -> None:
    nodes.change(2, quorate=False)


def a_member_is_read_only(nodes: LiveNodes) -> None:
    nodes.change(1, pve_writable=False)


def joiner_is_elsewhere(nodes: LiveNodes) -> None:
    nodes.reports["proxmox03"] = joined(3, 3, cluster="office")


def joiner_is_older(nodes: LiveNodes) -> None:
    nodes.change(3, pve_version="8.4.1")


def clocks_differ(nodes: LiveNodes) -> None:
    nodes.change(3, time=1009.0)


def own_key_is_missing(nodes: LiveNodes) -> None:
    assert OWN_KEY in nodes.reports["proxmox01"].authorized_keys
    nodes.change(1, authorized_keys=["SHA256:of-a-colleague"])


def seed_has_no_certificate(nodes: LiveNodes) -> None:
    nodes.change(1, api_fingerprint=None)


def id_is_taken(nodes: LiveNodes) -> None:
    for number in (1, 2):
        nodes.change(number, nodes=[listed(1), listed(2), dataclasses.replace(listed(5), id=3)])


@pytest.mark.parametrize(
    ("world", "code"),
    [
        (joiner_is_silent, "host-unreachable"),
        (a_member_is_silent, "host-unreachable"),
        (a_member_is_not_quorate, "member-not-working"),
        (a_member_is_read_only, "member-not-working"),
        (joiner_is_elsewhere, "other-cluster"),
        (joiner_is_older, "version-mismatch"),
        (clocks_differ, "clock-skew"),
        (own_key_is_missing, "admin-key-missing"),
        (seed_has_no_certificate, "certificate-missing"),
        (id_is_taken, "identity-taken"),
    ],
)
def test_a_refusal_touches_no_node(nodes: LiveNodes, world: Callable[[LiveNodes], None], code: str) -> None:
    nodes.form(1, 2)
    world(nodes)
    before = dict(nodes.reports)
    with pytest.raises(StepError) as refused:
        bring_about(THIRD)
    assert (refused.value.code, nodes.acts, nodes.reports) == (code, [], before)


def test_a_join_needs_the_root_password(nodes: LiveNodes) -> None:
    nodes.form(1)
    without = Call(Secrets(PRIVATE_KEY))
    with pytest.raises(AdminError) as refused:
        bring_about(SECOND, without)
    assert (refused.value.code, nodes.acts) == ("bad-call", [])
    bring_about(SECOND)
    assert not bring_about(SECOND, without).changed, "a joined node needs none"


def test_what_the_joiner_says_itself_is_passed_on_with_its_name(nodes: LiveNodes) -> None:
    nodes.form(1)
    nodes.errors["join-cluster"] = AdminError("join-locked", "`pvecm add` did not join proxmox02", observed="x")
    with pytest.raises(StepError) as failed:
        bring_about(SECOND)
    assert failed.value.code == "join-locked"
    assert "on: proxmox02" in failed.value.render()


def own_link_is_cut(nodes: LiveNodes) -> None:
    nodes.change(3, links=[cut(1, 0), *nodes.reports["proxmox03"].links[1:]])


def not_listed_by_the_seed(nodes: LiveNodes) -> None:
    nodes.change(1, nodes=[listed(1), listed(2)], quorum=quorum([1, 2, 3], expected=2))


def api_shows_the_old_certificate(nodes: LiveNodes) -> None:
    nodes.shown["proxmox03"] = "AA:old"


def api_is_down(nodes: LiveNodes) -> None:
    nodes.shown["proxmox03"] = None


@pytest.mark.parametrize(
    ("world", "amiss"),
    [
        (own_link_is_cut, "link 0 from proxmox03 to proxmox01 is not connected"),
        (not_listed_by_the_seed, "proxmox01 does not list proxmox03"),
        (api_shows_the_old_certificate, "the API of proxmox03 presents another certificate than it holds"),
        (api_is_down, "the API of proxmox03 does not answer"),
    ],
)
def test_a_node_that_is_not_joined_in_everybodys_eyes_is_named(
    nodes: LiveNodes, world: Callable[[LiveNodes], None], amiss: str
) -> None:
    nodes.form(1, 2, 3)
    world(nodes)
    with pytest.raises(AdminError) as refused:
        bring_about(THIRD, timeout_s=AT_ONCE)
    assert (refused.value.code, refused.value.observed) == ("cluster-not-as-described", amiss)


def test_what_is_amiss_between_other_members_is_not_this_joins_affair(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    nodes.change(1, links=[cut(2, 0), *nodes.reports["proxmox01"].links[1:]])
    nodes.shown["proxmox02"] = None
    assert not bring_about(THIRD, timeout_s=AT_ONCE).changed
