"""Rolling work, decided: when a node may go, what stops that, and where its guests go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import rolling
from cluster.errors import AdminError
from cluster.motion import Motion
from onnode.contract.guests import GuestMove, RunningGuest
from tests.unit.cli.status.test_status import node
from tests.unit.cluster.worlds import CLUSTER, cut, listed, members, quorum, up

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnode.contract.health import Health
    from onnode.errors import StepError

NAMES = ("proxmox01", "proxmox02", "proxmox03")
SERVICE = {"state": "started", "node": "proxmox01", "uid": "1", "running": 1}
MOTION = Motion(
    online=frozenset(NAMES),
    seen=dict.fromkeys(NAMES, "online"),
    agents=dict.fromkeys(NAMES, ("active", 1000)),
    services={"vm:200": SERVICE},
    managed=1000,
)
SILENT = AdminError("host-unreachable", "proxmox03 cannot be reached over SSH")


def view(motion: Motion = MOTION, **changes: Health | StepError) -> rolling.View:
    seen: dict[str, Health | StepError] = {name: node(int(name[-1])).health for name in NAMES}
    seen |= changes
    quorate = {name: motion for name in NAMES if name not in changes or not isinstance(changes[name], AdminError)}
    return rolling.View(CLUSTER, members(3), seen, quorate)


def health(number: int, **changes: Any) -> Health:  # noqa: ANN401 - fields as they are
    return replace(node(number).health, **changes)


def test_a_cluster_at_rest_can_do_without_a_node() -> None:
    assert rolling.findings(view()) == []
    rolling.refuse_two_away(view(), "proxmox02")
    rolling.refuse_without_quorum(view(), "proxmox02")
    assert rolling.survives(view(), "proxmox02") == 0


DRAINED = replace(MOTION, seen={**MOTION.seen, "proxmox02": "maintenance"})
AMISS: list[tuple[str, rolling.View, str]] = [
    ("a silent node", view(proxmox03=SILENT), "proxmox03 does not answer"),
    ("a cut link", view(proxmox01=health(1, links=[cut(2, 1), up(2, 0), up(3, 0), up(3, 1)])), "link 1 from proxmox01 to proxmox02 is not connected"),
    ("a missing vote", view(proxmox01=health(1, quorum=quorum([1, 2], expected=3))), "proxmox01 sees no vote of proxmox03"),
    ("a dead service", view(proxmox02=health(2, services={"corosync": True})), "pve-ha-lrm does not run on proxmox02"),
    ("a step at work", view(proxmox02=health(2, busy="prepare-node")), "step prepare-node runs on proxmox02"),
    ("a guest that moves", view(replace(MOTION, services={"vm:200": {**SERVICE, "state": "migrate", "target": "proxmox02"}})), "vm:200: HA is moving it"),
    ("a migration of others", view(replace(MOTION, migrating={"vm:900": "proxmox01"}, running=frozenset({"vm:900"}))), "vm:900 is locked for a migration"),
    ("a node that HA has yet to see", view(replace(MOTION, seen={**MOTION.seen, "proxmox03": "unknown"})), "proxmox03 has yet to be seen by the HA manager"),
    ("no quorate node", rolling.View(CLUSTER, members(3), view().seen, {}), "no node is quorate"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "what"), [case[1:] for case in AMISS], ids=[case[0] for case in AMISS])
def test_what_stops_it(seen: rolling.View, what: str) -> None:
    assert any(what in one for one in rolling.findings(seen)), rolling.findings(seen)


def test_a_drained_node_is_no_finding_and_stops_the_others() -> None:
    drained = view(replace(DRAINED, agents={**MOTION.agents, "proxmox02": ("wait_for_agent_lock", 1000)}))
    assert rolling.findings(drained) == []
    rolling.refuse_two_away(drained, "proxmox02")
    for leaving in ("proxmox01", None):
        with pytest.raises(AdminError, match="another node is in maintenance") as refused:
            rolling.refuse_two_away(drained, leaving)
        assert refused.value.code == "node-in-maintenance"
        assert "make undrain NODE=proxmox02" in refused.value.fix


def of(
    count: int, voting: list[int], expected: int | None = None, votes: Callable[[int], int] = lambda _: 1
) -> rolling.View:
    names = [f"proxmox0{number}" for number in range(1, count + 1)]
    nodes = [replace(listed(number), votes=votes(number)) for number in range(1, count + 1)]
    counted = quorum(voting, expected=expected or count)
    seen = health(1, nodes=nodes, quorum=replace(counted, total=sum(votes(number) for number in voting)))
    return rolling.View(CLUSTER, members(count), dict.fromkeys(names, seen), {})


@pytest.mark.parametrize(
    ("seen", "leaving", "survives"),
    [
        (of(3, [1, 2, 3]), "proxmox01", 0),
        (of(5, [1, 2, 3, 4, 5]), "proxmox01", 1),
        (of(3, [1, 2]), "proxmox01", -1),
        (of(3, [1, 2]), "proxmox03", 0),  # it does not vote: nothing is lost with it
        (of(2, [1, 2]), "proxmox02", -1),
        (of(3, [1, 2, 3], expected=5, votes=lambda number: 3 if number == 1 else 1), "proxmox01", -1),
        (rolling.View(CLUSTER, members(3), {}, {}), "proxmox01", -1),
    ],
)
def test_how_many_more_may_fail(seen: rolling.View, leaving: str, survives: int) -> None:
    assert rolling.survives(seen, leaving) == survives
    if survives < 0:
        with pytest.raises(AdminError) as refused:
            rolling.refuse_without_quorum(seen, leaving)
        assert refused.value.code == "quorum-needed"


def test_a_witness_counts() -> None:
    """Two nodes and a QDevice: three votes, one of them of no node."""
    seen = of(2, [1, 2], expected=3)
    three = replace(health(1), nodes=[listed(1), listed(2)], quorum=replace(quorum([1, 2], expected=3), total=3))
    assert rolling.survives(seen, "proxmox02") == -1
    assert rolling.survives(replace(seen, seen=dict.fromkeys(NAMES[:2], three)), "proxmox02") == 0


LOAD = {"proxmox01": 2, "proxmox03": 1}


def test_guests_go_where_fewest_are_and_only_where_they_may() -> None:
    guests = [
        RunningGuest("vm:100", "a", managed=False),
        RunningGuest("ct:101", "b", managed=False),
        RunningGuest("vm:102", "c", managed=False),
        RunningGuest("vm:103", "d", managed=False, nodes=["proxmox01", "proxmox02"]),
        RunningGuest("vm:104", "under HA", managed=True),
    ]
    assert rolling.placements("proxmox02", guests, LOAD) == [
        GuestMove("vm:100", "proxmox03"),
        GuestMove("ct:101", "proxmox01"),
        GuestMove("vm:102", "proxmox03"),
        GuestMove("vm:103", "proxmox01"),
    ]


def test_all_that_cannot_leave_are_named_at_once_also_those_under_ha() -> None:
    guests = [
        RunningGuest("vm:100", "free", managed=False),
        RunningGuest("vm:101", "tied", managed=False, obstacles=["scsi0 is on local, which is not shared", "it is locked (backup)"]),
        RunningGuest("vm:102", "bound", managed=True, nodes=["proxmox02"]),
    ]  # fmt: skip
    with pytest.raises(AdminError) as refused:
        rolling.placements("proxmox02", guests, LOAD)
    assert refused.value.code == "guest-stays"
    assert refused.value.observed == (
        "tied (vm:101): scsi0 is on local, which is not shared; it is locked (backup) | bound (vm:102): only proxmox02 may have it"
    )


def test_only_nodes_that_work_take_guests() -> None:
    seen = view(DRAINED, proxmox03=health(3, pve_writable=False))
    assert rolling.load_of(seen, "proxmox02") == {"proxmox01": 1}
    assert rolling.load_of(seen, "proxmox01") == {}


def test_the_node_that_was_drained_comes_first() -> None:
    assert rolling.order(NAMES, "proxmox02") == ["proxmox02", "proxmox01", "proxmox03"]
    assert rolling.order(NAMES, None) == [*NAMES]
