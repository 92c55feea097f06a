"""The storage's step: a working member keeps it, and what an earlier version recorded is adopted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.call import Call
from cluster.contract import ClusterStorage
from cluster.errors import AdminError
from cluster.steps import storage
from onnode.contract.formation import Storage
from onnode.step import Outcome
from tests.unit.cluster.live_nodes import CALL, DOWN
from tests.unit.cluster.worlds import CLUSTER, members

if TYPE_CHECKING:
    from tests.unit.cluster.live_nodes import LiveNodes

SHARED = Storage("stack-dev", "shared", "192.0.2.1", "/srv/shared", ["images", "rootdir"])
WANTED = ClusterStorage([*members(2)], SHARED, CLUSTER)


@pytest.mark.parametrize(
    ("previous", "adopt", "adopted"),
    [
        (None, False, False),
        ({"storage": "shared"}, False, False),
        ({"adopt": False}, False, False),
        ({"adopt": True}, False, True),
        (None, True, True),
    ],
)
def test_a_working_member_makes_it_and_adopts_what_the_provider_made(
    nodes: LiveNodes, previous: dict[str, Any] | None, *, adopt: bool, adopted: bool
) -> None:
    nodes.form(1, 2)
    nodes.silent["proxmox01"] = DOWN
    nodes.facts["storage"] = {}
    wanted = replace(WANTED, storage=replace(SHARED, adopt=adopt))
    outcome = asyncio.run(storage.bring_about(wanted, Call(CALL.secrets, previous)))
    assert outcome == Outcome(changed=True, facts={"storage": "shared"})
    [act] = nodes.acts
    assert (act.node, act.what, act.wanted) == ("proxmox02", "storage", replace(SHARED, adopt=adopted))


def test_a_working_member_takes_it_away(nodes: LiveNodes) -> None:
    nodes.form(1, 2)
    nodes.facts["storage --remove"] = {}
    assert asyncio.run(storage.remove(WANTED, CALL)) == Outcome(changed=True, facts={"storage": "shared"})
    [act] = nodes.acts
    assert (act.node, act.what, act.wanted) == ("proxmox01", "storage --remove", SHARED)


def test_while_another_cluster_answers_as_well_nothing_is_done(nodes: LiveNodes) -> None:
    nodes.form(1, 2)
    nodes.facts |= {"storage": {}, "storage --remove": {}}
    nodes.change(1, cluster="other")
    for step in (storage.bring_about, storage.remove):
        with pytest.raises(AdminError) as refused:
            asyncio.run(step(WANTED, CALL))
        assert refused.value.code == "other-cluster"
    assert nodes.acts == []
    nodes.change(1, quorate=False)
    asyncio.run(storage.bring_about(WANTED, CALL))
    assert [act.node for act in nodes.acts] == ["proxmox02"], "only one of them works"


def test_in_a_foreign_cluster_that_all_of_them_joined_nothing_is_done(nodes: LiveNodes) -> None:
    nodes.form(1, 2)
    nodes.facts |= {"storage": {}, "storage --remove": {}}
    for number in (1, 2):
        nodes.change(number, cluster="office")
    for step in (storage.bring_about, storage.remove):
        with pytest.raises(AdminError) as refused:
            asyncio.run(step(WANTED, CALL))
        assert (refused.value.code, refused.value.observed) == (
            "other-cluster",
            "proxmox01 is in office, proxmox02 is in office",
        )
    assert nodes.acts == []


def test_without_a_quorate_member_it_stays_as_it_is(nodes: LiveNodes) -> None:
    nodes.form(1, 2)
    nodes.change(1, quorate=False)
    nodes.change(2, quorate=False)
    for step in (storage.bring_about, storage.remove):
        with pytest.raises(AdminError) as refused:
            asyncio.run(step(WANTED, CALL))
        assert refused.value.code == "member-not-working"
    assert nodes.acts == []
