"""A member that comes back with an old corosync.conf: who is behind, and what each of the two gets from the other's word."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cli.looks import preparing
from cluster import catching_up
from cluster.contract import JoinNode, VerifyCluster
from cluster.errors import AdminError
from cluster.steps import join_node, verify_cluster
from cluster.transport import shipped
from cluster.transport.nodes import NodeStepError
from onnode.cluster import corosync_files
from onnode.contract.documents import document
from onnode.contract.repair import CorosyncFile, KeptConf, KeptConfs, StartServices
from tests.unit.cluster.live_nodes import CALL, OWN_KEY
from tests.unit.cluster.worlds import CLUSTER, joined, listed, member, members, quorum, stand_alone

if TYPE_CHECKING:
    from cli.description import Description
    from cluster.transport.nodes import StepResult
    from cluster.transport.ssh import Connection
    from onnode.contract.membership import MembershipReport
    from tests.unit.cluster.live_nodes import Act, LiveNodes

TEXT = "totem {\n  cluster_name: proxmox\n  config_version: 3\n}\n"
OLD = TEXT.replace("3", "2")
OWN = "a key's digest"


def stale(**changes: Any) -> MembershipReport:  # noqa: ANN401 - fields as they are
    """The second node: it knows the first two, votes with nobody, and has the version before the third joined."""
    return joined(2, 1, 2, **{"quorate": False, "quorum": quorum([2], expected=2), "links": [], **changes})


def world(late: MembershipReport, **newest: Any) -> dict[str, MembershipReport]:  # noqa: ANN401 - fields as they are
    seen = [
        joined(1, 1, 2, 3, **{"quorum": quorum([1, 3], expected=3), **newest}),
        late,
        joined(3, 1, 2, 3, quorum=quorum([1, 3], expected=3)),
    ]
    return {report.node: report for report in seen}


LATE = ("proxmox01", ["proxmox02"])


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        pytest.param(world(stale()), LATE, id="it has no vote, and an older version"),
        pytest.param(world(stale(quorum=None)), LATE, id="its corosync does not run yet"),
        pytest.param(world(joined(2, 1, 2, 3)), None, id="all are well"),
        pytest.param(world(stale(config_version=3)), None, id="the same version: another fault"),
        pytest.param(world(stale(config_version=9)), None, id="a newer one: a person decides"),
        pytest.param(
            world(stale(), config_version=9, quorum=quorum([1], expected=1)), None, id="two sides have a quorum"
        ),
        pytest.param(world(stale(config_version=None)), None, id="broken by hand: repair asks"),
        pytest.param(world(joined(2, 1, 2)), None, id="it has quorum: a split"),
        pytest.param(world(stale(cluster="other")), None, id="another cluster's"),
        pytest.param(world(stand_alone(2)), None, id="stand-alone: it joins"),
        pytest.param(world(stale(state="half")), None, id="half joined: its join goes on"),
        pytest.param(world(stale(), nodes=[listed(1), listed(3)], config_version=9), None, id="it was removed"),
        pytest.param({"proxmox02": stale(), "proxmox03": stale(node="proxmox03")}, None, id="nobody has quorum"),
        pytest.param(
            {**world(stale()), "proxmox01": joined(1, 1, 2, 3, pve_writable=False), "proxmox03": stand_alone(3)},
            None,
            id="the only one with quorum takes no writes",
        ),
    ],
)
def test_only_a_quorum_says_who_is_behind(
    seen: dict[str, MembershipReport], found: tuple[str, list[str]] | None
) -> None:
    assert catching_up.behind(CLUSTER, seen) == found


def test_a_node_that_reports_another_name_goes_by_its_described_one() -> None:
    seen = world(stale(node="two", nodes=[listed(1), dataclasses.replace(listed(2), name="two")]))
    of_it = [dataclasses.replace(one, name="two") if one.id == 2 else one for one in seen["proxmox01"].nodes]
    seen = {
        "pve1": dataclasses.replace(seen["proxmox01"], nodes=of_it),
        "pve2": seen["two"],
        "pve3": dataclasses.replace(seen["proxmox03"], nodes=of_it),
    }
    assert catching_up.behind(CLUSTER, seen) == ("pve1", ["pve2"])


def prepared(nodes: LiveNodes, *, key: str = OWN, given: str = TEXT, own: str = OLD) -> None:
    """The world of `stale` with what its nodes do when they are asked for their files; after the start, all is well."""
    nodes.reports = world(stale())
    kept = {
        "proxmox01": KeptConfs("proxmox01", [KeptConf("/etc/pve/corosync.conf", given)], OWN),
        "proxmox02": KeptConfs(
            "proxmox02", [KeptConf("/etc/corosync/corosync.conf", own), KeptConf("/etc/pve/corosync.conf", OLD)], key
        ),
    }
    nodes.own_facts["corosync-files"] = {name: document(one) for name, one in kept.items()}
    nodes.facts.update({"restore-corosync": {}, "start-services": {}})
    nodes.when["start-services"] = lambda: nodes.form(1, 2, 3)


VERIFY = VerifyCluster(CLUSTER, members(3), 3, 0)
BROUGHT = [("proxmox02", "restore-corosync"), ("proxmox02", "start-services")]


def changing(nodes: LiveNodes) -> list[Act]:
    return [act for act in nodes.acts if act.what != "corosync-files"]


def test_the_cluster_is_proven_after_it_got_the_file_of_the_quorum(nodes: LiveNodes) -> None:
    prepared(nodes)
    wanted = dataclasses.replace(VERIFY, timeout_s=60)
    outcome = asyncio.run(verify_cluster.bring_about(wanted, CALL))
    assert (outcome.changed, outcome.facts["members"]) == (True, [one.name for one in members(3)])
    changes = changing(nodes)
    assert [(act.node, act.what) for act in changes] == BROUGHT
    assert [act.wanted for act in changes] == [CorosyncFile(TEXT), StartServices(quorate=True, timeout_s=60)]
    nodes.acts.clear()
    assert not asyncio.run(verify_cluster.bring_about(wanted, CALL)).changed
    assert nodes.acts == []


def test_the_next_node_joins_after_it(nodes: LiveNodes) -> None:
    """Before, the join was refused: a member was not quorate."""
    prepared(nodes)
    nodes.reports["proxmox04"] = stand_alone(4, authorized_keys=nodes.reports["proxmox01"].authorized_keys)
    asyncio.run(join_node.bring_about(JoinNode(CLUSTER, member(4), members(3), 0), CALL))
    assert [act for act in nodes.done if act[1] != "corosync-files"] == [*BROUGHT, ("proxmox04", "join-cluster")]


def test_one_that_has_the_file_already_is_started_with_it(nodes: LiveNodes) -> None:
    """As after a run that was killed between the two."""
    prepared(nodes, own=TEXT)
    asyncio.run(verify_cluster.bring_about(dataclasses.replace(VERIFY, timeout_s=60), CALL))
    assert [act for act in nodes.done if act[1] != "corosync-files"] == BROUGHT


def test_one_whose_pmxcfs_hangs_gets_it_as_well(nodes: LiveNodes) -> None:
    """Nobody reads its /etc/pve then."""
    prepared(nodes)
    nodes.own_facts["corosync-files"]["proxmox02"]["files"].pop()
    asyncio.run(verify_cluster.bring_about(dataclasses.replace(VERIFY, timeout_s=60), CALL))
    assert [act for act in nodes.done if act[1] != "corosync-files"] == BROUGHT


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"key": "another key's"}, id="another key: a machine of the same name in a cluster of the same name"
        ),
        pytest.param({"key": "absent"}, id="no key"),
        pytest.param({"given": ""}, id="the quorum's file is gone"),
        pytest.param({"given": "{"}, id="the quorum's file is broken"),
        pytest.param({"own": TEXT.replace("3", "9")}, id="its own file is newer"),
        pytest.param(
            {"own": TEXT.replace("proxmox", "proxmox\n  token: 9")}, id="its own file is as new, and another one"
        ),
        pytest.param(
            {"own": OLD.replace("proxmox", "proxmox\n  token: 9")}, id="its own file was edited, with no new version"
        ),
        pytest.param({"own": "{"}, id="its own file is broken"),
    ],
)
def test_what_is_no_older_file_of_this_cluster_is_left_alone(nodes: LiveNodes, changes: dict[str, str]) -> None:
    prepared(nodes, **changes)
    with pytest.raises(AdminError) as refused:
        asyncio.run(verify_cluster.bring_about(VERIFY, CALL))
    assert refused.value.code == "cluster-not-as-described"
    assert {act.what for act in nodes.acts} == {"corosync-files"}


def loaded(text: str) -> KeptConf:
    return KeptConf(corosync_files.LOADED, text)


@pytest.mark.parametrize(
    ("running", "acts"),
    [
        pytest.param(TEXT, [], id="it lacks something else, such as its links"),
        pytest.param(OLD, BROUGHT, id="a run was killed before it could stop corosync"),
    ],
)
def test_one_that_runs_with_the_file_is_left_alone(nodes: LiveNodes, running: str, acts: list[tuple[str, str]]) -> None:
    """Each run gave it the file again, and waited in vain."""
    prepared(nodes, own=TEXT)
    nodes.own_facts["corosync-files"]["proxmox02"]["files"].append(document(loaded(running)))
    nodes.when["start-services"] = lambda: None
    with pytest.raises(AdminError, match="not as described"):
        asyncio.run(verify_cluster.bring_about(VERIFY, CALL))
    assert [(act.node, act.what) for act in changing(nodes)] == acts


def test_steps_that_changed_nothing_are_no_change(nodes: LiveNodes, dev: Description) -> None:
    prepared(nodes)
    assert preparing.catch_up(dev)
    nodes.reports = world(stale())
    nodes.own_facts |= {"restore-corosync": {"proxmox02": {}}, "start-services": {"proxmox02": {}}}
    assert not preparing.catch_up(dev)


def test_what_fails_on_one_node_does_not_keep_another_from_its_corosync(
    nodes: LiveNodes, dev: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error ended the work on the other one, between the stop of its corosync and the start."""
    prepared(nodes)
    numbers = (1, 2, 3, 4)
    nodes.reports = {
        f"proxmox0{one}": joined(one, *numbers, quorum=quorum([1, 3, 4], expected=4), authorized_keys=[OWN_KEY])
        for one in (1, 4)
    } | {f"proxmox0{one}": stale(node=f"proxmox0{one}") for one in (2, 3)}
    kept = nodes.own_facts["corosync-files"]
    kept["proxmox03"] = {**kept["proxmox02"], "node": "proxmox03"}
    nodes.refusals["restore-corosync"] = [AdminError("command-failed", "`systemctl kill` failed")]
    at_once = shipped.run

    async def slowly(connection: Connection, *given: Any, **how: Any) -> StepResult:  # noqa: ANN401 - as they are
        await asyncio.sleep(0.02 if connection.machine.name == "proxmox03" else 0)
        return await at_once(connection, *given, **how)

    monkeypatch.setattr(shipped, "run", slowly)
    with pytest.raises(NodeStepError, match="`systemctl kill` failed"):
        preparing.catch_up(dev)
    assert [(act.node, act.what) for act in changing(nodes)] == [
        ("proxmox02", "restore-corosync"),
        ("proxmox03", "restore-corosync"),
        ("proxmox03", "start-services"),
    ]


@pytest.mark.parametrize("key", [OWN, "another key's"])
def test_nobody_is_asked_about_a_node_that_is_left_alone(
    nodes: LiveNodes, dev: Description, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(preparing, "BOOT_S", 0)
    prepared(nodes, key=key)
    late = preparing.behind(dev)
    assert late == (["proxmox02"] if key == OWN else [])
    assert preparing.catch_up(dev) == bool(late)


def test_nobody_is_asked_about_a_node_whose_corosync_is_just_starting(
    nodes: LiveNodes, dev: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "BOOT_S", 0)
    prepared(nodes)
    nodes.after = lambda looks: nodes.form(1, 2, 3) if looks == len(nodes.reports) else None
    assert preparing.behind(dev) == []


def test_the_files_of_a_node_that_is_left_alone_are_asked_for_once(nodes: LiveNodes) -> None:
    prepared(nodes, key="another key's")
    nodes.after = lambda looks: nodes.form(1, 2, 3) if looks == 4 * len(nodes.reports) else None
    outcome = asyncio.run(verify_cluster.bring_about(dataclasses.replace(VERIFY, timeout_s=60), CALL))
    assert not outcome.changed
    assert nodes.done == [("proxmox01", "corosync-files"), ("proxmox02", "corosync-files")]
