"""The first step of a run, on nodes that answer: what a live cluster cannot become is refused before any node is touched."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster.call import Call
from cluster.contract import ClusterChange
from cluster.errors import AdminError
from cluster.steps import identity
from cluster.transport.ssh import Completed
from onnode.errors import StepError
from tests.support.corosync_conf import corosync_conf
from tests.unit.cluster.live_nodes import CALL, DOWN, fresh
from tests.unit.cluster.worlds import CLUSTER, joined, listed, member, members, quorum

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.contract import Member
    from onnode.contract.membership import MembershipReport
    from onnode.step import Outcome
    from tests.unit.cluster.live_nodes import LiveNodes

IDENTITY = ClusterChange(CLUSTER, "dev", members(3), {}, {}, 60)
KNOWN = {
    f"proxmox0{n}": {
        "address": f"192.168.0.{184 + n}",
        "host_key": "ssh-ed25519 AAAA",
        "node_id": n,
        "votes": 1,
        "links": {"0": f"10.10.1.{184 + n}", "1": f"10.20.1.{184 + n}"},
        "housing": None,
    }
    for n in (1, 2, 3, 4)
}
FACTS = {"cluster": CLUSTER, "members": {name: KNOWN[name] for name in ("proxmox01", "proxmox02", "proxmox03")}}


@pytest.fixture(autouse=True)
def files(nodes: LiveNodes) -> None:
    """Each node shows its name, the cluster's configuration if it has one, and what corosync's tools print."""
    nodes.reports["proxmox04"] = fresh(4)
    nodes.commands["hostname"] = lambda node: Completed(
        0, f"{node}.lab.internal\n{conf(nodes.reports[node])}#quorum\n{tools(nodes.reports[node])}", ""
    )


def conf(report: MembershipReport) -> str:
    """The file of a member, as corosync writes it."""
    if report.cluster is None:
        return "\n"
    version = report.config_version or 0
    text = corosync_conf(report.cluster, version, report.nodes, report.priorities, transport=report.transport)
    return text + ("#edited\n" if report.edited else "")


def tools(report: MembershipReport) -> str:
    """The quorum and the links, as corosync's tools print them."""
    quorum = report.quorum
    if quorum is None:
        return "#links\n"
    voters = "".join(f"0x{voter.id:08x}          {voter.votes} {voter.address}\n" for voter in quorum.members)
    links = "".join(
        f"LINK ID {number} udp\n\tstatus:\n"
        + "".join(
            f"\t\tnodeid:          {link.node_id}:\t{'connected' if link.connected else 'disconnected'}\n"
            for link in report.links
            if link.link == number
        )
        for number in sorted({link.link for link in report.links})
    )
    return (
        f"Quorate:          {'Yes' if quorum.quorate else 'No'}\nExpected votes:   {quorum.expected}\n"
        f"Total votes:      {quorum.total}\nQuorum:           {quorum.needed}\n\n{voters}#links\n{links}"
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
    nodes.change(1, nodes=[listed(1), listed(2), dataclasses.replace(listed(3), id=7)], config_version=9)


def with_one_more(nodes: LiveNodes) -> None:
    nodes.change(1, nodes=[listed(1), listed(2), listed(3), listed(4)], config_version=9)


def with_an_id_twice(nodes: LiveNodes) -> None:
    nodes.change(1, nodes=[listed(1), listed(2), dataclasses.replace(listed(3), id=2)], config_version=9)


@pytest.mark.parametrize(
    ("world", "code", "shown"),
    [
        (elsewhere, "other-cluster", "proxmox02 is in office"),
        (of_an_old_release, "corosync-transport", "proxmox03 has transport udpu"),
        (with_another_id, "identity-changed", "proxmox03 has id 7"),
        (with_one_more, "member-unknown", "proxmox04"),
        (with_an_id_twice, "node-id-twice", "id 2: proxmox02 and proxmox03"),
    ],
)
def test_a_live_cluster_that_cannot_become_the_described_one_is_refused_and_only_read(
    nodes: LiveNodes, world: Callable[[LiveNodes], None], code: str, shown: str
) -> None:
    nodes.form(1, 2, 3)
    world(nodes)
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert refused.value.code == code
    assert shown in refused.value.observed
    assert {command for _, command in nodes.done} == {identity._READ}


def test_a_configuration_that_somebody_edits_is_not_changed_and_one_as_described_is_no_matter(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    nodes.change(2, edited=True)
    assert bring_about().facts == FACTS
    with pytest.raises(StepError) as refused:
        bring_about(members=with_more_votes(2))
    assert refused.value.code == "corosync-edited"
    assert refused.value.observed == "/etc/pve/corosync.conf.new, seen on proxmox02"
    assert {command for _, command in nodes.done} == {identity._READ}
    nodes.change(2, edited=False)
    bring_about(members=with_more_votes(2))


def with_more_votes(count: int) -> list[Member]:
    return [dataclasses.replace(member(1), votes=count), *members(3)[1:]]


def at_another_address(*numbers: int) -> list[Member]:
    """The third node has other addresses on those links."""
    links = [
        dataclasses.replace(link, address=f"10.{link.number + 1}0.1.99") if link.number in numbers else link
        for link in member(3).links
    ]
    return [*members(2), dataclasses.replace(member(3), links=links)]


@pytest.mark.parametrize(
    ("described", "told"),
    [
        (members(4), "proxmox04 joins; meanwhile the cluster survives the loss of 0 nodes"),
        (members(2), "proxmox03 leaves for good; meanwhile the cluster survives the loss of 0 nodes"),
        (with_more_votes(2), "other votes: proxmox01 2; meanwhile the cluster survives the loss of 0 nodes"),
        (
            at_another_address(1),
            "link 1 gets another address on proxmox03, and is out of use until then; meanwhile the cluster survives",
        ),
    ],
)
def test_what_is_to_be_done_is_told_with_its_risk(
    nodes: LiveNodes, capsys: pytest.CaptureFixture[str], described: list[Member], told: str
) -> None:
    nodes.form(1, 2, 3)
    outcome = bring_about(FACTS, members=described)
    assert outcome.facts["members"].keys() == {*FACTS["members"], *(one.name for one in described)}
    assert f"to be done: {told}" in capsys.readouterr().err
    assert {command for _, command in nodes.done} == {identity._READ}, "it only reads"


def test_nothing_is_told_when_nothing_is_to_be_done(nodes: LiveNodes, capsys: pytest.CaptureFixture[str]) -> None:
    nodes.form(1, 2, 3)
    bring_about(FACTS)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "code", "shown"),
    [
        ({"cluster": "office"}, "other-cluster", "proxmox01 is in proxmox"),
        ({"members": at_another_address(0, 1)}, "link-last", "link 0 changes, link 1 changes"),
        (
            {"members": [*members(2), dataclasses.replace(members(3)[2], node_id=9)]},
            "identity-changed",
            "proxmox03 has id 3",
        ),
    ],
)
def test_what_cannot_be_can_still_be_described_until_it_is_live(
    nodes: LiveNodes, changes: dict[str, Any], code: str, shown: str
) -> None:
    before = bring_about().facts
    bring_about(previous=before, **changes)
    nodes.form(1, 2, 3)
    with pytest.raises(AdminError) as refused:
        bring_about(previous=before, **changes)
    assert refused.value.code == code
    assert shown in refused.value.observed


def test_a_member_that_this_stack_never_described_is_not_removed(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    nothing_known = bring_about(previous=None, members=members(3))
    assert nothing_known.facts == FACTS
    with pytest.raises(AdminError) as refused:
        bring_about(previous=None, members=members(2))
    assert refused.value.code == "member-unknown"


def test_a_member_of_which_only_the_name_is_known_is_not_removed(nodes: LiveNodes) -> None:
    """An earlier version remembered no more. The last step would refuse it, when all others have run."""
    nodes.form(1, 2, 3)
    old = {**FACTS, "members": {name: {"node_id": 1, "votes": 1, "links": {}} for name in FACTS["members"]}}
    with pytest.raises(AdminError) as refused:
        bring_about(old, members=members(2))
    assert refused.value.code == "member-forgotten"
    assert {command for _, command in nodes.done} == {identity._READ}, "it only reads"
    once_more = bring_about(old).facts
    assert bring_about(once_more, members=members(2)).facts == FACTS


def test_a_node_that_left_the_file_is_known_as_long_as_the_cluster_lists_it(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    assert bring_about(FACTS, members=members(2)).facts == FACTS
    nodes.form(1, 2)
    assert "proxmox03" not in bring_about(FACTS, members=members(2)).facts["members"]


def test_a_described_node_that_is_down_is_waited_for_and_not_refused(
    nodes: LiveNodes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run brings up what is off: two of three would not be quorate during a fourth one's join."""
    nodes.form(1, 2, 3)
    for number in (1, 2):
        nodes.change(number, quorum=quorum([1, 2], expected=3))
    nodes.silent["proxmox03"] = DOWN
    bring_about(FACTS, members=members(4))
    assert "proxmox04 joins" in capsys.readouterr().err


def test_a_join_that_was_cut_off_goes_on(nodes: LiveNodes, capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster lists the second node, which was not told: no machine was lost, and there is no quorum to remove it."""
    nodes.form(1)
    nodes.change(1, nodes=[listed(1), listed(2)], quorate=False, quorum=quorum([1], expected=2), config_version=2)
    bring_about(FACTS, members=members(2))
    assert capsys.readouterr().err == ""
