"""The step that proves the cluster, on nodes that answer: all is as described, comes to be so, or is refused by name."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cluster import formation, verification
from cluster.contract import VerifyCluster
from cluster.errors import AdminError
from cluster.steps import verify_cluster
from cluster.transport import pins
from onnode.errors import StepError
from onnode.step import Outcome
from tests.unit.cluster.live_nodes import CALL, DOWN, fresh
from tests.unit.cluster.worlds import CLUSTER, cut, joined, listed, members, quorum

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cluster.live_nodes import LiveNodes

VERIFY = VerifyCluster(CLUSTER, members(3), 3, 0)
NAMES = ["proxmox01", "proxmox02", "proxmox03"]


def bring_about(**changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(verify_cluster.bring_about(dataclasses.replace(VERIFY, **changes), CALL))


def remembered() -> list[str | None]:
    return [pins.known(one) for one in members(3)]


def test_a_cluster_as_described_is_told_and_its_certificates_are_remembered(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    assert remembered() == [None, None, None]
    facts = {"cluster": CLUSTER, "members": NAMES, "expected_votes": 3}
    assert bring_about() == Outcome(changed=False, facts=facts)
    assert remembered() == ["AA:01", "AA:02", "AA:03"]
    assert bring_about() == Outcome(changed=False, facts=facts)
    assert nodes.acts == []


def test_it_is_looked_again_until_all_is_as_described(nodes: LiveNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "POLL_S", 0.0)
    nodes.form(1, 2, 3)
    nodes.change(3, links=[cut(1, 0), *nodes.reports["proxmox03"].links[1:]])
    nodes.after = lambda looks: nodes.form(1, 2, 3) if looks == 6 else None
    assert bring_about(timeout_s=60).facts["members"] == NAMES
    assert nodes.looks == 9


def test_a_look_that_finds_all_well_is_the_only_one(nodes: LiveNodes) -> None:
    nodes.form(1, 2, 3)
    bring_about(timeout_s=60)
    assert nodes.looks == 3


def a_member_is_silent(nodes: LiveNodes) -> None:
    nodes.silent["proxmox03"] = DOWN


def a_node_did_not_join(nodes: LiveNodes) -> None:
    nodes.form(1, 2)
    nodes.reports["proxmox03"] = fresh(3)


def a_member_is_elsewhere(nodes: LiveNodes) -> None:
    nodes.reports["proxmox02"] = joined(2, 2, cluster="office")


def a_link_is_cut(nodes: LiveNodes) -> None:
    nodes.change(1, links=[cut(2, 1), *nodes.reports["proxmox01"].links[:1], *nodes.reports["proxmox01"].links[2:]])


def a_member_is_read_only(nodes: LiveNodes) -> None:
    nodes.change(2, pve_writable=False)


def a_member_does_not_vote(nodes: LiveNodes) -> None:
    nodes.change(1, quorum=quorum([1, 2], expected=3))


def votes_were_lowered(nodes: LiveNodes) -> None:
    nodes.change(1, quorum=quorum([1, 2, 3], expected=2))


def an_id_differs(nodes: LiveNodes) -> None:
    nodes.change(2, nodes=[listed(1), dataclasses.replace(listed(2), votes=2), listed(3)])


def an_api_is_down(nodes: LiveNodes) -> None:
    nodes.shown["proxmox03"] = None


def an_api_shows_another_certificate(nodes: LiveNodes) -> None:
    nodes.shown["proxmox01"] = "AA:old"


REFUSED = "cluster-not-as-described"


@pytest.mark.parametrize(
    ("world", "code", "shown"),
    [
        (a_member_is_silent, "host-unreachable", "no answer"),
        (a_node_did_not_join, REFUSED, "proxmox03 is stand-alone"),
        (a_member_is_elsewhere, REFUSED, "proxmox02 is in office"),
        (a_link_is_cut, REFUSED, "link 1 from proxmox01 to proxmox02 is not connected"),
        (a_member_is_read_only, REFUSED, "proxmox02 is quorate, its /etc/pve read-only"),
        (a_member_does_not_vote, REFUSED, "proxmox01 sees no vote of proxmox03"),
        (votes_were_lowered, REFUSED, "proxmox01 expects 2 votes, not 3"),
        (an_id_differs, REFUSED, "proxmox02 lists proxmox02: id 2, votes 2"),
        (an_api_is_down, REFUSED, "the API of proxmox03 does not answer"),
        (an_api_shows_another_certificate, REFUSED, "the API of proxmox01 presents another certificate than it holds"),
    ],
)
def test_what_is_amiss_is_named_and_nothing_is_remembered(
    nodes: LiveNodes, world: Callable[[LiveNodes], None], code: str, shown: str
) -> None:
    nodes.form(1, 2, 3)
    world(nodes)
    with pytest.raises(StepError) as refused:
        bring_about()
    assert refused.value.code == code
    assert shown in refused.value.observed
    assert (remembered(), nodes.acts) == ([None, None, None], [])


@pytest.mark.parametrize("described", [2, 4])
def test_a_cluster_that_counts_other_votes_than_described_is_refused(nodes: LiveNodes, described: int) -> None:
    """All nodes are as described, and the sum is not: a vote comes from somewhere else, or is missing."""
    nodes.form(1, 2, 3)
    with pytest.raises(StepError) as refused:
        bring_about(expected_votes=described)
    error = refused.value
    assert (error.code, error.observed, error.expected) == (REFUSED, "3", str(described))
    assert nodes.acts == []


def test_a_node_that_is_listed_and_not_described_is_named() -> None:
    """Without a vote it changes no expected votes, and the engine would destroy its VM next."""
    with pytest.raises(AdminError) as refused:
        formation.refuse_further_members([joined(1, 1, 2, 3, 4)], members(3))
    assert (refused.value.code, refused.value.observed) == ("member-unknown", "proxmox04")
    formation.refuse_further_members([joined(1, 1, 2, 3)], members(3))
