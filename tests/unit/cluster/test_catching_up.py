"""A member that comes back with an old corosync.conf: who is behind, and what each of the two gets from the other's word."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cluster import catching_up
from cluster.contract import JoinNode, VerifyCluster
from cluster.errors import AdminError
from cluster.steps import join_node, verify_cluster
from onnode.contract.documents import document
from onnode.contract.repair import CorosyncFile, KeptConf, KeptConfs, StartServices
from tests.unit.cluster.live_nodes import CALL
from tests.unit.cluster.worlds import CLUSTER, joined, listed, member, members, quorum, stand_alone

if TYPE_CHECKING:
    from onnode.contract.membership import MembershipReport
    from tests.unit.cluster.live_nodes import LiveNodes

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


def test_the_cluster_is_proven_after_it_got_the_file_of_the_quorum(nodes: LiveNodes) -> None:
    prepared(nodes)
    wanted = dataclasses.replace(VERIFY, timeout_s=60)
    assert asyncio.run(verify_cluster.bring_about(wanted, CALL)).facts["members"] == [one.name for one in members(3)]
    changes = [act for act in nodes.acts if act.what != "corosync-files"]
    assert [(act.node, act.what) for act in changes] == BROUGHT
    assert [act.wanted for act in changes] == [CorosyncFile(TEXT), StartServices(quorate=True, timeout_s=60)]
    nodes.acts.clear()
    asyncio.run(verify_cluster.bring_about(wanted, CALL))
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
