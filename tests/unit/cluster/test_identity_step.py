"""The first step of a run, on nodes that answer: what a live cluster cannot change is refused before any node is touched."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster.call import Call
from cluster.contract import Identity
from cluster.errors import AdminError
from cluster.steps import identity
from cluster.transport.ssh import Completed
from onnode.errors import StepError
from tests.unit.cluster.live_nodes import CALL, DOWN
from tests.unit.cluster.worlds import CLUSTER, joined, listed, members

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.contract import MembershipReport
    from onnode.step import Outcome
    from tests.unit.cluster.live_nodes import LiveNodes

IDENTITY = Identity(CLUSTER, "proxmox01", members(3))
FACTS = {
    "cluster": CLUSTER,
    "seed": "proxmox01",
    "members": {
        f"proxmox0{n}": {"node_id": n, "votes": 1, "links": {"0": f"10.10.1.{184 + n}", "1": f"10.20.1.{184 + n}"}}
        for n in (1, 2, 3)
    },
}


@pytest.fixture(autouse=True)
def files(nodes: LiveNodes) -> None:
    """Each node shows its name, and the cluster's configuration if it has one."""
    nodes.commands["hostname"] = lambda node: Completed(0, f"{node}.lab.internal\n{conf(nodes.reports[node])}", "")


def conf(report: MembershipReport) -> str:
    """The file of a member, as corosync writes it."""
    if report.cluster is None:
        return "\n"
    entries = "".join(
        f"  node {{\n    name: {node.name}\n    nodeid: {node.id}\n    quorum_votes: {node.votes}\n"
        + "".join(f"    ring{number}_addr: {address}\n" for number, address in node.links.items())
        + "  }\n"
        for node in report.nodes
    )
    interfaces = "".join(
        f"  interface {{\n    linknumber: {number}\n    knet_link_priority: {priority}\n  }}\n"
        for number, priority in report.priorities.items()
    )
    return (
        f"nodelist {{\n{entries}}}\ntotem {{\n  cluster_name: {report.cluster}\n"
        f"  config_version: {report.config_version}\n  transport: {report.transport}\n{interfaces}}}\n"
    )


def bring_about(previous: dict[str, Any] | None = None, **changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    call = Call(CALL.secrets, previous)
    return asyncio.run(identity.bring_about(dataclasses.replace(IDENTITY, **changes), call))


@pytest.mark.parametrize("numbers", [(), (1,), (1, 2), (1, 2, 3)])
def test_what_is_described_is_recorded_and_a_second_run_finds_the_same(
    nodes: LiveNodes, numbers: tuple[int, ...]
) -> None:
    nodes.form(*numbers)
    first = bring_about()
    assert (first.changed, first.facts) == (False, FACTS)
    second = bring_about(previous=json.loads(json.dumps(first.facts)))
    assert (second.changed, second.facts) == (False, FACTS)
    assert {command for _, command in nodes.done} == {identity._READ}, "it only reads"


def test_nodes_that_are_not_there_yet_hold_nobody_up(nodes: LiveNodes) -> None:
    nodes.silent = dict.fromkeys(nodes.reports, DOWN)
    assert bring_about().facts == FACTS
    assert {patience_s for _, patience_s in nodes.logins} == {identity.CONNECT_S}


def test_an_answer_of_another_machine_is_refused_though_others_answer(nodes: LiveNodes) -> None:
    nodes.silent["proxmox02"] = AdminError("host-key-mismatch", "it is not the machine", observed="another key")
    with pytest.raises(StepError) as refused:
        bring_about()
    assert refused.value.code == "host-key-mismatch"


def elsewhere(nodes: LiveNodes) -> None:
    nodes.reports["proxmox02"] = joined(2, 2, cluster="office")


def of_an_old_release(nodes: LiveNodes) -> None:
    nodes.change(3, transport="udpu")


def with_another_id(nodes: LiveNodes) -> None:
    nodes.change(3, nodes=[listed(1), listed(2), dataclasses.replace(listed(3), id=7)])


def with_another_address(nodes: LiveNodes) -> None:
    moved = dataclasses.replace(listed(2), links={0: "10.99.1.186", 1: "10.20.1.186"})
    nodes.change(1, nodes=[listed(1), moved, listed(3)])


def with_one_more(nodes: LiveNodes) -> None:
    nodes.change(1, nodes=[listed(1), listed(2), listed(3), listed(4)])


def with_an_id_twice(nodes: LiveNodes) -> None:
    nodes.change(1, nodes=[listed(1), listed(2), dataclasses.replace(listed(3), id=2)])


def with_other_priorities(nodes: LiveNodes) -> None:
    nodes.change(1, priorities={0: 10, 1: 20})


@pytest.mark.parametrize(
    ("world", "code", "shown"),
    [
        (elsewhere, "other-cluster", "proxmox02 is in office"),
        (of_an_old_release, "corosync-transport", "proxmox03 has transport udpu"),
        (with_another_id, "member-differs", "proxmox03: id 7"),
        (with_another_address, "member-differs", "link0 10.99.1.186"),
        (with_one_more, "member-unknown", "proxmox04"),
        (with_an_id_twice, "node-id-twice", "id 2: proxmox02 and proxmox03"),
        (with_other_priorities, "member-differs", "link0 10, link1 20"),
    ],
)
def test_a_live_cluster_that_differs_is_refused_and_only_read(
    nodes: LiveNodes, world: Callable[[LiveNodes], None], code: str, shown: str
) -> None:
    nodes.form(1, 2, 3)
    world(nodes)
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == code
    assert shown in refused.value.observed
    assert {command for _, command in nodes.done} == {identity._READ}


@pytest.mark.parametrize(
    ("changes", "code", "shown"),
    [
        ({"cluster": "office"}, "identity-changed", "cluster name office"),
        ({"seed": "proxmox02"}, "identity-changed", "seed proxmox02"),
        ({"members": members(2)}, "member-removed", "not described any more: proxmox03"),
        (
            {"members": [*members(2), dataclasses.replace(members(3)[2], node_id=9)]},
            "identity-changed",
            "proxmox03: id 9",
        ),
    ],
)
def test_a_change_of_what_was_described_before_is_refused_once_it_is_live(
    nodes: LiveNodes, changes: dict[str, Any], code: str, shown: str
) -> None:
    before = bring_about().facts
    assert bring_about(previous=before, **changes).facts != FACTS, "nothing is live yet, so it can change"
    nodes.form(1, 2, 3)
    with pytest.raises(AdminError) as refused:
        bring_about(previous=before, **changes)
    assert refused.value.code == code
    assert shown in refused.value.observed


def test_a_silent_node_may_be_the_member_that_was_left_out(nodes: LiveNodes) -> None:
    before = bring_about().facts
    nodes.silent["proxmox02"] = DOWN
    with pytest.raises(AdminError) as refused:
        bring_about(previous=before, members=members(2))
    assert refused.value.code == "member-removed"
    assert "proxmox02 cannot be reached to see whether there is a cluster" in refused.value.observed
