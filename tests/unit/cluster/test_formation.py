"""Whether a cluster is created, adopted or refused, and how a node gets in: cases as data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster import formation
from cluster.errors import AdminError
from onnode.cluster.corosync import ConfNode
from onnode.contract.membership import MembershipReport
from onnode.errors import StepError
from tests.unit.cluster.worlds import CLUSTER, KEY, cut, joined, listed, member, members, quorum, stand_alone, up

DOWN = AdminError("host-unreachable", "proxmox03 cannot be reached over SSH", observed="no answer")
Answers = dict[str, MembershipReport | StepError]


def answers(*reports: MembershipReport | StepError) -> Answers:
    return {f"proxmox0{number}": report for number, report in enumerate(reports, start=1)}


def adopt(world: Answers, seed: str = "proxmox01", count: int = 3) -> str | None:
    return formation.cluster_to_adopt(CLUSTER, seed, members(count), world)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(answers(*(stand_alone(n) for n in (1, 2, 3))), id="all stand-alone"),
        pytest.param(
            answers(stand_alone(1, guests=[100]), stand_alone(2), stand_alone(3)), id="guests on the seed stay"
        ),
        pytest.param(
            answers(joined(1, 1, quorate=False, pve_writable=False), stand_alone(2), stand_alone(3)),
            id="creation cut off on the seed",
        ),
        pytest.param(
            answers(joined(1, 1, state="half", quorate=False, missing=["corosync"]), stand_alone(2), stand_alone(3)),
            id="seed half made",
        ),
    ],
)
def test_the_seed_creates(world: Answers) -> None:
    assert adopt(world) is None


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(answers(joined(1, 1), stand_alone(2), stand_alone(3)), id="only the seed is in it"),
        pytest.param(answers(*(joined(n, 1, 2, 3) for n in (1, 2, 3))), id="all are in it"),
        pytest.param(answers(joined(1, 1, 2), joined(2, 1, 2), stand_alone(3)), id="one is missing"),
        pytest.param(answers(joined(1, 1, 2, 3), joined(2, 1, 2, 3), DOWN), id="a member is down"),
        pytest.param(answers(DOWN, joined(2, 1, 2, 3), joined(3, 1, 2, 3)), id="the seed is down"),
        pytest.param(
            answers(stand_alone(1, state="half", cluster=CLUSTER), joined(2, 1, 2), stand_alone(3)),
            id="the seed is half joined",
        ),
        # F6: the seed was reinstalled; creating again would make a second cluster of the same name. It joins this one.
        pytest.param(answers(stand_alone(1), joined(2, 2, 3), joined(3, 2, 3)), id="seed reinstalled"),
        pytest.param(answers(*(joined(n, 1, 2, 3, 4) for n in (1, 2, 3))), id="one that is still to be removed"),
    ],
)
def test_the_described_cluster_is_adopted(world: Answers) -> None:
    name = adopt(world)
    assert name is not None
    look = world[name]
    assert isinstance(look, MembershipReport)
    assert look.works


OTHER = [listed(1), ConfNode("proxmox02", 7, 1, listed(2).links), listed(3)]
ELSEWHERE = [listed(1), ConfNode("proxmox02", 2, 1, {0: "10.99.1.186", 1: "10.20.1.186"}), listed(3)]


@pytest.mark.parametrize(
    ("world", "code", "named"),
    [
        pytest.param(
            answers(stand_alone(1), joined(2, 1, 2, cluster="office"), stand_alone(3)),
            "other-cluster",
            "office",
            id="another name",
        ),
        pytest.param(
            answers(*(joined(n, 1, 2, 3, nodes=OTHER) for n in (1, 2, 3))), "member-differs", "id 7", id="another id"
        ),
        pytest.param(
            answers(*(joined(n, 1, 2, 3, nodes=ELSEWHERE) for n in (1, 2, 3))),
            "member-differs",
            "10.99.1.186",
            id="another link",
        ),
        pytest.param(
            answers(
                joined(1, 1, config_version=1), joined(2, 2, 3, config_version=3), joined(3, 2, 3, config_version=3)
            ),
            "clusters-split",
            "proxmox01",
            id="two clusters of one name",
        ),
        pytest.param(
            answers(stand_alone(1), stand_alone(2), DOWN),
            "host-unreachable",
            "",
            id="a silent node may be in a cluster",
        ),
        pytest.param(answers(DOWN, stand_alone(2), stand_alone(3)), "host-unreachable", "", id="a silent seed"),
        pytest.param(
            answers(joined(1, 1, quorate=False), stand_alone(2), DOWN),
            "host-unreachable",
            "",
            id="cut off, and one is silent",
        ),
    ],
)
def test_nothing_is_created_or_adopted(world: Answers, code: str, named: str) -> None:
    with pytest.raises(StepError) as caught:
        adopt(world)
    assert caught.value.code == code
    assert named in caught.value.observed


# -- joins ---------------------------------------------------------------------------------------------------------------


def plan(joiner: MembershipReport, *present: MembershipReport, keys: tuple[str, ...] = (KEY,)) -> formation.JoinPlan:
    described = [*members(len(present)), member(int(joiner.node[-1]))]
    return formation.plan_join(CLUSTER, described, joiner, {look.node: look for look in present}, keys)


SEED = joined(1, 1)
# The cluster took node 2 in, and node 2 was cut off: one of two votes, and nothing can be written (F1).
BLOCKED = joined(
    1,
    1,
    2,
    quorate=False,
    pve_writable=False,
    quorum=quorum([1], expected=2),
    links=[cut(2, 0), cut(2, 1)],
)
HALF = stand_alone(2, state="half", cluster=CLUSTER, nodes=[listed(1), listed(2)], missing=["running corosync"])


@pytest.mark.parametrize(
    ("joiner", "present", "expected"),
    [
        pytest.param(stand_alone(2), [SEED], formation.JoinPlan(("proxmox01",), listed=False), id="first join"),
        pytest.param(
            stand_alone(3),
            [joined(1, 1, 2), joined(2, 1, 2)],
            formation.JoinPlan(("proxmox01", "proxmox02"), listed=False),
            id="second join",
        ),
        pytest.param(
            stand_alone(2, state="half"),
            [SEED],
            formation.JoinPlan(("proxmox01",), listed=False),
            id="left over, unlisted",
        ),
        # F2: interrupted after the cluster had taken it in; only finishing brings the quorum back.
        pytest.param(HALF, [BLOCKED], formation.JoinPlan(("proxmox01",), listed=True), id="half joined, seed blocked"),
        pytest.param(
            stand_alone(2),
            [BLOCKED],
            formation.JoinPlan(("proxmox01",), listed=True, votes=1),
            id="listed, has nothing, seed blocked",
        ),
        pytest.param(
            stand_alone(3),
            [joined(n, 1, 2, 3, quorum=quorum([1, 2], expected=3)) for n in (1, 2)],
            formation.JoinPlan(("proxmox01", "proxmox02"), listed=True),
            id="listed, has nothing, quorum holds",
        ),
        pytest.param(
            joined(3, 1, 2, 3, quorate=False, quorum=None, links=[]),
            [joined(n, 1, 2, 3, quorum=quorum([1, 2], expected=3)) for n in (1, 2)],
            formation.JoinPlan(("proxmox01", "proxmox02"), listed=True),
            id="a full member whose corosync is stopped is started, not joined",
        ),
    ],
)
def test_a_node_gets_in(
    joiner: MembershipReport, present: list[MembershipReport], expected: formation.JoinPlan
) -> None:
    assert plan(joiner, *present) == expected


@pytest.mark.parametrize(
    ("joiner", "present", "code", "named"),
    [
        pytest.param(
            stand_alone(2), [joined(1, 1, quorate=False)], "member-not-working", "not quorate", id="F1: no quorum"
        ),
        pytest.param(
            stand_alone(2), [joined(1, 1, pve_writable=False)], "member-not-working", "read-only", id="F1: read-only"
        ),
        pytest.param(stand_alone(2), [stand_alone(1)], "member-not-working", "stand-alone", id="the seed is no member"),
        pytest.param(
            stand_alone(3),
            [joined(1, 1, 2), joined(2, 1, 2, quorate=False)],
            "member-not-working",
            "proxmox02",
            id="another member is not quorate",
        ),
        pytest.param(
            stand_alone(2, cluster="office", state="member"), [SEED], "other-cluster", "office", id="joiner elsewhere"
        ),
        pytest.param(stand_alone(2), [joined(1, 1, cluster="office")], "other-cluster", "office", id="seed elsewhere"),
        pytest.param(
            stand_alone(2),
            [joined(1, 1, transport="udpu")],
            "corosync-transport",
            "proxmox01 has transport udpu",
            id="the cluster of an old release",
        ),
        pytest.param(
            stand_alone(2),
            [joined(1, 1, 2, nodes=[listed(1), replace(listed(2), id=9)])],
            "member-differs",
            "id 9",
            id="listed otherwise",
        ),
        pytest.param(
            stand_alone(2),
            [joined(1, 1, 5, nodes=[listed(1), replace(listed(5), id=2)])],
            "identity-taken",
            "proxmox02 is to have id 2, which proxmox05 has",
            id="the id is taken",
        ),
        pytest.param(
            stand_alone(2),
            [joined(1, 1, 5, nodes=[listed(1), replace(listed(5), links={0: "10.10.1.186", 1: "10.20.1.189"})])],
            "identity-taken",
            "proxmox02 is to have 10.10.1.186, which proxmox05 has",
            id="an address is taken",
        ),
        pytest.param(
            stand_alone(2),
            [joined(1, 1, 5, nodes=[listed(1), replace(listed(5), name="PROXMOX02")])],
            "identity-taken",
            "proxmox02 is to have the name proxmox02, which PROXMOX02 has",
            id="the name is taken",
        ),
        pytest.param(
            stand_alone(2),
            [joined(1, 1, 2)],
            "identity-taken",
            "proxmox01 lists proxmox02: id 2",
            id="another machine of that name votes",
        ),
        pytest.param(
            stand_alone(3),
            [joined(n, 1, 2, 9, nodes=[listed(1), listed(2), replace(listed(9), id=2)]) for n in (1, 2)],
            "node-id-twice",
            "id 2: proxmox02 and proxmox09",
            id="an id twice",
        ),
        pytest.param(stand_alone(2, pve_version="8.4.1"), [SEED], "version-mismatch", "8.4.1", id="F10: older major"),
        pytest.param(stand_alone(2, time=1009.0), [SEED], "clock-skew", "9.0 s", id="clocks differ"),
        pytest.param(
            stand_alone(2), [joined(1, 1, authorized_keys=["SHA256:other"])], "admin-key-missing", KEY, id="locked out"
        ),
        pytest.param(
            stand_alone(2), [joined(1, 1, api_fingerprint=None)], "certificate-missing", "pve-ssl.pem", id="F11"
        ),
        pytest.param(
            stand_alone(2),
            [replace(BLOCKED, quorum=None)],
            "member-not-working",
            "corosync does not run on proxmox01, so it has no vote",
            id="the seed itself does not vote: expected votes are left alone",
        ),
    ],
)
def test_a_join_is_refused(joiner: MembershipReport, present: list[MembershipReport], code: str, named: str) -> None:
    with pytest.raises(AdminError) as caught:
        plan(joiner, *present)
    assert caught.value.code == code
    assert named in caught.value.observed


def test_what_must_not_be_thrown_out_is_never_to_be_thrown_out() -> None:
    """`pvecm delnode` goes by the id: of two nodes with one id it kills the healthy one."""
    twice = [listed(1), listed(2), replace(listed(9), id=2)]
    with pytest.raises(AdminError) as caught:
        formation.refuse_changed_identity(twice, members(3))
    assert caught.value.code == "node-id-twice", "not member-unknown, whose way out is to remove a node"
    assert "delnode" not in caught.value.render()
    assert "/etc/pve/corosync.conf" in caught.value.fix


ADDRESSES = {f"proxmox0{n}": f"192.168.0.{184 + n}" for n in range(1, 6)}
TWO_OF_FIVE = quorum([1, 2], expected=5)


def no_quorum(number: int, **changes: Any) -> MembershipReport:  # noqa: ANN401 - fields as they are
    look = joined(number, 1, 2, 3, 4, 5, quorate=False, pve_writable=False, quorum=TWO_OF_FIVE)
    return replace(look, **changes)


def test_without_quorum_it_is_said_who_is_missing_and_what_brings_them() -> None:
    """Two of five: a stopped corosync, and machines that are off. Restarting pve-cluster mends none of it."""
    stopped = no_quorum(3, quorum=None, links=[])
    said = formation.working(no_quorum(1))
    assert said == "proxmox01 is not quorate (2 of 5 votes, 3 needed, 1 missing; down or cut off: proxmox03, proxmox04, proxmox05)"  # fmt: skip
    assert formation.working(stopped) == "corosync does not run on proxmox03, so it has no vote"
    world = {"proxmox01": no_quorum(1), "proxmox02": no_quorum(2), "proxmox03": stopped}
    fix = formation.bring_back(world, ADDRESSES)
    assert fix == (
        "ssh root@192.168.0.187 systemctl start corosync; power on proxmox04; power on proxmox05; "
        "then run the same command again"
    )


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param([joined(1, 1, 2, pve_writable=False), joined(2, 1, 2)], "ssh root@192.168.0.185 systemctl restart pve-cluster", id="quorate and read-only"),
        pytest.param([joined(1, 1, 2, 3, pve_writable=False)], "ssh root@192.168.0.185 systemctl restart pve-cluster", id="who votes is on"),
        pytest.param([joined(1, 1, 2), joined(2, 1, 2, state="half", pve_mounted=False)], "ssh root@192.168.0.186 systemctl restart pve-cluster", id="not mounted"),
        pytest.param([no_quorum(n) for n in (1, 2, 3, 4, 5)], "ssh root@192.168.0.185 corosync-cfgtool -n names the broken links", id="all run, none hears another"),
    ],
)  # fmt: skip
def test_pve_cluster_is_restarted_only_where_that_helps(world: list[MembershipReport], expected: str) -> None:
    fix = formation.bring_back({look.node: look for look in world}, ADDRESSES)
    assert fix == f"{expected}; then run the same command again"


def test_members_that_are_not_asked_about_do_not_stop_a_join() -> None:
    """A fourth node joins a cluster whose later members this join was not told of."""
    world = {look.node: look for look in (joined(1, 1, 2, 5), joined(2, 1, 2, 5))}
    assert formation.plan_join(CLUSTER, [*members(2), member(3)], stand_alone(3), world, [KEY]).listed is False


@pytest.mark.parametrize(
    ("joiner", "present", "expected"),
    [
        (joined(2, 1, 2), [joined(1, 1, 2)], True),
        (joined(2, 1, 2), [joined(1, 1)], False),  # the cluster does not list it
        (stand_alone(2), [joined(1, 1, 2)], False),
        (joined(2, 1, 2, state="half"), [joined(1, 1, 2)], False),
        (joined(2, 1, 2, cluster="office"), [joined(1, 1, 2)], False),
    ],
)
def test_a_member_is_one_in_its_own_eyes_and_the_clusters(
    joiner: MembershipReport,
    present: list[MembershipReport],
    expected: bool,  # noqa: FBT001 - a case
) -> None:
    assert formation.is_joined(CLUSTER, joiner, {look.node: look for look in present}) is expected


# -- the cluster as it should be -----------------------------------------------------------------------------------------

HEALTHY = {f"proxmox0{n}": joined(n, 1, 2, 3) for n in (1, 2, 3)}


def seen(**changes: MembershipReport) -> dict[str, MembershipReport]:
    return {**HEALTHY, **changes}


def test_a_healthy_cluster_has_no_problems() -> None:
    assert formation.problems(CLUSTER, members(3), HEALTHY) == []


CUT = [cut(1, 0), cut(3, 0), up(1, 1), up(3, 1)]


@pytest.mark.parametrize(
    ("world", "named"),
    [
        (seen(proxmox02=stand_alone(2)), "proxmox02 is stand-alone"),
        (seen(proxmox02=joined(2, 1, 2, 3, cluster="office")), "proxmox02 is in office"),
        (seen(proxmox02=joined(2, 1, 2, 3, state="half", missing=["node certificate"])), "half joined (missing: node certificate)"),
        (seen(proxmox01=joined(1, 1, 2)), "proxmox01 does not list proxmox03"),  # F3: exit code 0, not joined
        (seen(proxmox02=joined(2, 1, 2, 3, quorate=False)), "proxmox02 is not quorate"),
        (seen(proxmox02=joined(2, 1, 2, 3, pve_writable=False)), "proxmox02 is quorate, its /etc/pve read-only"),
        (seen(proxmox02=joined(2, 1, 2, 3, links=CUT)), "link 0 from proxmox02 to proxmox03 is not connected"),
        (seen(proxmox02=joined(2, 1, 2, 3, links=[])), "link 1 from proxmox02 to proxmox01 is not connected"),
        (seen(proxmox02=joined(2, 1, 2, 3, api_fingerprint=None)), "proxmox02 has no certificate"),
        (seen(proxmox03=joined(3, 1, 2, 3, quorum=quorum([1, 2, 3], expected=4))), "expects 4 votes"),
        (seen(proxmox03=joined(3, 1, 2, 3, quorum=quorum([1, 3], expected=3))), "no vote of proxmox02"),
        (seen(proxmox01=joined(1, 1, 2, 3, nodes=OTHER)), "id 7"),
    ],
)  # fmt: skip
def test_each_defect_is_named(world: dict[str, MembershipReport], named: str) -> None:
    assert any(named in problem for problem in formation.problems(CLUSTER, members(3), world))


def test_only_the_links_of_one_node_can_be_asked_about() -> None:
    cut_elsewhere = [cut(1, 0), up(1, 1), up(3, 0), up(3, 1)]
    world = seen(proxmox02=joined(2, 1, 2, 3, links=cut_elsewhere))
    assert formation.problems(CLUSTER, members(3), world, only_through="proxmox03") == []
    assert formation.problems(CLUSTER, members(3), world, only_through="proxmox01") != []
