"""From doctor's causes to repairs, as data: tests/cases/repair/plans.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli import chronicle
from cli.doctor.diagnose import diagnose
from cli.doctor.model import Cause, Seen, World
from cli.repair import acts, described_conf, further, last_good, plan
from cli.repair.model import KINDS, ByHand, Guests, Repair, Situation
from cli.run_report import model, render
from onnode.cluster import conf_faults, corosync, corosync_file
from onnode.cluster.corosync import ConfNode, Device
from onnode.contract.membership import Membership
from onnode.contract.repair import KeptConf, KeptConfs
from onnode.errors import StepError
from onnode.system import originals
from tests.support import doctored
from tests.support.corosync_conf import corosync_conf
from tests.unit.cli.doctor.test_diagnose import CASES as WORLDS
from tests.unit.cli.doctor.test_diagnose import world

if TYPE_CHECKING:
    from onnode.contract.diagnosis import ConfFile, DiagnosisReport

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[3] / "cases" / "repair" / "plans.yaml").read_text()
)["cases"]


def conf(version: int, cluster: str = "proxmox", nodes: int = 3) -> str:
    listed = [
        ConfNode(f"pve{number}", number, 1, {0: f"10.10.1.10{number}", 1: f"10.20.1.10{number}"})
        for number in range(1, nodes + 1)
    ]
    return corosync_conf(cluster, version, listed)


GOOD = conf(3)
BROKEN = conf(4).replace("nodelist {", "nodelist")


def situation(name: str, kept: list[str] | None = None) -> tuple[Situation, list[Cause]]:
    """With the whole file of before on these nodes, and a broken one of version 4 on all."""
    expected, seen = world(WORLDS[name])
    causes = diagnose(expected, seen)
    reports = {node: with_digest(report) for node, report in seen.reports.items()}
    every = World(expected, dataclasses.replace(seen, reports=reports))
    files = {node: [KeptConf("/etc/pve/corosync.conf", BROKEN)] for node in every.joined}
    for node in files if kept is None else kept:
        files[node].append(KeptConf("somewhere", GOOD))
    guests = Guests(configured={node: [] for node in every.nodes})
    return Situation(every, {node: KeptConfs(node, found) for node, found in files.items()}, guests), causes


def with_digest(report: DiagnosisReport) -> DiagnosisReport:
    """With the digest of the text that is kept for it."""

    def of(file: ConfFile | None) -> ConfFile | None:
        is_good = file is not None and file.digest == doctored.conf(3).digest
        return dataclasses.replace(file, digest=originals.fingerprint(GOOD)) if is_good and file else file

    return dataclasses.replace(report, local=of(report.local), shared=of(report.shared))


def planned(name: str) -> list[Repair | ByHand]:
    return plan.plan(*situation(name, CASES.get(name, {}).get("kept")))


def told(one: Repair | ByHand) -> str:
    return f"{one.name} {', '.join(one.machines)}" if isinstance(one, Repair) else f"by hand {one.cause.name}"


@pytest.mark.parametrize("name", CASES)
def test_plans(name: str) -> None:
    found = planned(name)
    assert list(map(told, found)) == CASES[name]["planned"]
    text = "" if not found else "; ".join(found[0].steps) if isinstance(found[0], Repair) else found[0].why
    assert [words for words in CASES[name].get("mentions", ()) if words not in text] == [], text


@pytest.mark.parametrize("name", WORLDS)
def test_no_machine_that_doctor_does_not_name_is_touched(name: str) -> None:
    every = World(*world(WORLDS[name]))
    for one in planned(name):
        if isinstance(one, Repair):
            assert set(one.machines) <= {one.cause.where, *one.cause.seen_by}
            assert set(one.machines) <= set(every.nodes)


def test_every_kind_is_planned_and_done_and_answers_causes_of_its_own() -> None:
    assert set(KINDS) == set(plan.PLANNED) == set(acts.ACTS)
    answered = [cause for kind in KINDS.values() for cause in kind.causes]
    assert len(answered) == len(set(answered))


def test_quorum_is_waited_for_only_where_the_votes_are_enough() -> None:
    one_of_three = World(*world({"nodes": 5, "stopped": ["pve2", "pve3", "pve4", "pve5"], "causes": []}))
    assert not plan.may_be_quorate(one_of_three, "pve2")
    two_of_three = World(*world({"stopped": ["pve2"], "causes": []}))
    assert plan.may_be_quorate(two_of_three, "pve2")


def kept(**texts: str) -> dict[str, KeptConfs]:
    return {name: KeptConfs(name, [KeptConf("a file", text)]) for name, text in texts.items()}


def test_the_last_good_one_is_whole_of_this_cluster_and_of_the_highest_version() -> None:
    found = last_good.last_good(kept(pve1=conf(3), pve2=conf(4), pve3=BROKEN), "proxmox")
    assert found is not None
    assert (found.node, found.conf.version) == ("pve2", 4)
    assert found.told == "version 4, from pve2 (a file), which lists pve1, pve2, pve3"
    assert last_good.last_good(kept(pve1=conf(3), pve2=conf(9, "office")), "proxmox").conf.version == 3  # type: ignore[union-attr]
    assert last_good.last_good(kept(pve1=BROKEN, pve2="", pve3=conf(5, "office")), "proxmox") is None


def test_the_last_good_one_lists_those_that_are_to_get_it() -> None:
    """The smaller side of a split deletes more nodes: its file has the higher version, and leaves the others out."""
    texts = kept(pve1=conf(3), pve3=conf(7, nodes=1))
    for named, voters, version in ((["pve1"], {1}, 7), (["pve1", "pve2"], set[int](), 3), (["pve1"], {1, 2}, 3)):
        found = last_good.last_good(texts, "proxmox", named, voters)
        assert found is not None
        assert found.conf.version == version
    assert last_good.last_good(texts, "proxmox", ["pve4"]) is None


def test_the_shared_file_never_becomes_that_of_another_side() -> None:
    given, causes = situation("the shared corosync.conf is broken")
    files = {**given.kept, **kept(pve3=conf(7, nodes=1))}
    (one,) = plan.plan(dataclasses.replace(given, kept=files), causes)
    assert isinstance(one, Repair)
    assert "becomes version 3, from pve1" in one.steps[0]


def test_a_node_that_is_quorate_without_the_others_is_left_as_it_is() -> None:
    """Both sides may still list all nodes: somebody ran `pvecm expected` on the smaller one."""
    every_node = ["pve1", "pve2", "pve3"]
    sides = [{"nodes": nodes, "version": 3, "lists": every_node} for nodes in (["pve1", "pve2"], ["pve3"])]
    every = World(*world({"sides": sides, "causes": []}))
    assert every.view is not None
    assert every.view.total == 2
    cause = Cause("services-stopped", "pve3", "what", ["pve3"], "why", "next")
    (one,) = plan.plan(Situation(every), [cause])
    assert isinstance(one, ByHand)
    assert "of another side" in one.why
    (one,) = plan.plan(Situation(every), [dataclasses.replace(cause, where="pve2", seen_by=["pve2"])])
    assert isinstance(one, Repair)


@pytest.mark.parametrize("mess", [{"pmxcfs": "local"}, {"services": {"pveproxy": "failed"}}, {"certificate": None}])
def test_a_node_of_another_cluster_is_left_as_it_is(mess: dict[str, Any]) -> None:
    """Whatever is wrong there."""
    sides = [{"nodes": ["pve1", "pve2"], "version": 3}, {"nodes": ["pve3"], "version": 12, "cluster": "other"}]
    expected, seen = world({"sides": sides, "changes": {"pve3": mess}, "causes": []})
    causes = diagnose(expected, seen)
    assert causes[0].name == "other-cluster"
    guests = Guests(configured={"pve3": []})
    assert not [
        one for one in plan.plan(Situation(World(expected, seen), guests=guests), causes) if isinstance(one, Repair)
    ]
    named = [Cause(cause, "pve3", "what", ["pve3"], "why", "next") for kind in KINDS.values() for cause in kind.causes]
    touched = [
        one
        for one in plan.plan(Situation(World(expected, seen), guests=guests), named)
        if isinstance(one, Repair) and "pve3" in one.machines
    ]
    assert touched == []


def test_of_one_version_the_file_with_its_comments_comes_first() -> None:
    files = KeptConfs("pve1", [KeptConf("a file", GOOD), KeptConf("what its corosync has loaded", GOOD)])
    found = last_good.last_good({"pve1": files}, "proxmox")
    assert found is not None
    assert found.place == "a file"


def test_the_next_version_is_higher_than_that_of_a_broken_file() -> None:
    assert last_good.next_version(kept(pve1=conf(3), pve2=BROKEN)) == 5
    assert last_good.next_version({}) == 1


def test_without_a_whole_one_a_person_is_needed() -> None:
    given, causes = situation("the shared corosync.conf is broken", [])
    (one,) = plan.plan(given, causes)
    assert isinstance(one, ByHand)
    assert "no node has a whole corosync.conf" in one.why
    given, causes = situation("corosync.conf of one node is broken", [])
    (one,) = plan.plan(given, causes)
    assert isinstance(one, ByHand)


@pytest.mark.parametrize(
    ("broken", "is_made"), [(BROKEN, True), (BROKEN.replace("name: pve3", "name: pve4"), False), ("", False)]
)
def test_without_a_whole_one_the_described_one_is_made_if_the_nodes_are_the_same(broken: str, is_made: bool) -> None:  # noqa: FBT001 - a case
    given, causes = situation("the shared corosync.conf is broken, and no corosync runs", [])
    files = {node: KeptConfs(node, [KeptConf("/etc/pve/corosync.conf", broken)]) for node in given.kept}
    text = described_conf.write("proxmox", given.world.expected.members, {"token": "5000"})
    (one,) = plan.plan(dataclasses.replace(given, kept=files, described=text), causes)
    assert isinstance(one, Repair) == is_made
    if isinstance(one, Repair):
        assert "from the stack file (made from it, as no node has a whole one)" in one.steps[0]
        assert "config_version: 5\n" in one.text
        assert "token: 5000\n" in one.text


def test_the_described_one_is_what_proxmox_would_write() -> None:
    members = doctored.expected(2).members
    text = described_conf.write("proxmox", members, {"link_mode": "active"})
    assert (
        corosync_file.problems(text) == conf_faults.faults(text.replace("config_version: 0", "config_version: 1")) == []
    )
    found = corosync.parse_conf(text)
    assert found is not None
    assert [(node.name, node.id, node.votes, node.links) for node in found.nodes] == [
        (one.name, one.node_id, one.votes, {link.number: link.address for link in one.links}) for one in members
    ]
    assert (found.totem["link_mode"], found.totem["secauth"]) == ("active", "on")


def test_without_enough_votes_nothing_is_written() -> None:
    case = {**WORLDS["the shared corosync.conf is broken, and no corosync runs"], "dead": ["pve1", "pve2"]}
    case["changes"] = {"pve3": case["changes"]["pve3"]}
    expected, seen = world(case)
    (one,) = [
        one
        for one in plan.plan(Situation(World(expected, seen), kept(pve3=GOOD)), diagnose(expected, seen))
        if one.cause.name == "shared-conf-broken"
    ]
    assert isinstance(one, ByHand)
    assert "no quorum" in one.why


def test_a_corosync_that_did_not_answer_is_not_taken_for_stopped() -> None:
    expected, seen = world(WORLDS["the shared corosync.conf is broken, and no corosync runs"])

    def of_shared(found: Seen) -> Repair | ByHand:
        situation = Situation(World(expected, found), kept(pve3=GOOD))
        return next(
            one for one in plan.plan(situation, diagnose(expected, found)) if one.cause.name == "shared-conf-broken"
        )

    assert isinstance(of_shared(seen), Repair)
    slow = dataclasses.replace(seen.reports["pve1"], unanswered=["quorum"])
    unknown = of_shared(dataclasses.replace(seen, reports={**seen.reports, "pve1": slow}))
    assert isinstance(unknown, ByHand)
    assert "corosync did not answer in time on pve1" in unknown.why


LOST = "quorum is lost for good"


def lost(*, housing: bool = False, made: frozenset[str] | None = None, **changes: Any) -> list[Repair | ByHand]:  # noqa: ANN401 - fields of Seen
    expected, seen = world(WORLDS[LOST])
    carried = dict.fromkeys(("pve1", "pve2", "pve3"), "virtual") if housing else {}
    expected = dataclasses.replace(expected, housing=carried)
    seen = dataclasses.replace(seen, made=made, **changes)
    return plan.plan(Situation(World(expected, seen)), diagnose(expected, seen))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (frozenset({"pve1", "pve2"}), "pve2 is no lost node: its VM is there"),
        (None, "pve2 is no lost node: nobody can see whether its VM is gone"),
    ],
)
def test_a_nested_node_is_lost_only_without_its_vm(made: frozenset[str] | None, why: str) -> None:
    (one,) = [one for one in lost(housing=True, made=made) if one.cause.name == "quorum-lost"]
    assert isinstance(one, ByHand)
    assert why in one.why


def test_a_node_that_answers_a_ping_is_not_lost() -> None:
    _, seen = world(WORLDS[LOST])
    report = seen.reports["pve1"]
    answers = [dataclasses.replace(one, small=True) if one.name == "pve3" else one for one in report.reached]
    planned_ones = lost(reports={"pve1": dataclasses.replace(report, reached=answers)})
    assert not [one for one in planned_ones if isinstance(one, Repair)]


def test_a_call_that_was_killed_after_expected_goes_on() -> None:
    _, seen = world(WORLDS[LOST])
    report = seen.reports["pve1"]
    assert report.quorum is not None
    quorum = dataclasses.replace(report.quorum, quorate=True, expected=1, needed=1)
    found = lost(reports={"pve1": dataclasses.replace(report, quorum=quorum, pve_writable=True)})
    (one,) = [one for one in found if isinstance(one, Repair)]
    assert (one.name, one.cause.name, one.chosen) == ("quorum", "votes-expected", ["pve2", "pve3"])


def test_with_a_qdevice_no_node_is_called_lost() -> None:
    """Its vote may be with the others."""
    expected, seen = world(WORLDS[LOST])
    report = seen.reports["pve1"]
    cause = Cause("quorum-lost", "cluster", "what", ["pve1"], "why", "next")
    (one,) = plan.plan(Situation(World(expected, seen)), [cause])
    assert isinstance(one, Repair), "without one"
    file = dataclasses.replace(doctored.conf(3), device=Device("192.168.0.106", 2))
    seen = dataclasses.replace(seen, reports={"pve1": dataclasses.replace(report, local=file, shared=file)})
    (one,) = plan.plan(Situation(World(expected, seen)), [cause])
    assert isinstance(one, ByHand)
    assert one.why == "the cluster has a QDevice, whose vote counts, too"


REMOVED = "a node was removed while it was on"


@pytest.mark.parametrize(
    ("guests", "why"),
    [
        (None, "the guests of pve3 could not be looked at"),
        (Guests(), "the guests of pve3 could not be looked at"),
        (Guests({}, {"pve3": [100]}), "guests 100 are configured on pve3 only"),
        (
            Guests({100: "pve1"}, {"pve3": [100]}, {"pve3": ["vm:100"]}),
            "the other side has it on pve1: stop it on pve3",
        ),
        (Guests({}, {"pve3": []}, {"pve3": ["vm:100"]}), "the other side has it on no node"),
        (Guests({100: "pve3"}, {"pve3": [100]}, {"pve3": ["vm:100"]}, ["vm:100"]), "is about to start it elsewhere"),
        (Guests({100: "pve3"}, {"pve3": [100]}, {"pve3": ["vm:100"]}), None),
        (Guests({100: "pve1"}, {"pve3": [100]}), None),
        (Guests({}, {"pve3": []}), None),
    ],
)
def test_no_node_leaves_with_a_guest_that_only_it_has_or_that_may_run_twice(
    guests: Guests | None, why: str | None
) -> None:
    expected, seen = world(WORLDS[REMOVED])
    (one,) = plan.plan(Situation(World(expected, seen), guests=guests), diagnose(expected, seen))
    if why is None:
        assert isinstance(one, Repair)
    else:
        assert isinstance(one, ByHand)
        assert why in one.why


def test_both_sides_are_compared_before_anybody_is_asked() -> None:
    expected, seen = world(WORLDS[REMOVED])
    guests = Guests({200: "pve1", 300: "pve3"}, {"pve3": [300]})
    (one,) = plan.plan(Situation(World(expected, seen), guests=guests), diagnose(expected, seen))
    assert isinstance(one, Repair)
    assert one.steps[:2] == [
        "pve1 and pve2 stay: version 3 of the configuration, quorate with 2 votes of 2 that are needed, guests 200",
        "pve3 gives way: version 2 of the configuration, without quorum with 0 votes of 0 that are needed, guests 300",
    ]


def test_places_of_guests_are_read_from_what_pmxcfs_lists() -> None:
    text = '{"version": 2, "ids": {"100": {"node": "pve1", "type": "qemu"}, "101": {"node": "pve2", "type": "lxc"}}}'
    assert further.placed(text) == {100: "pve1", 101: "pve2"}
    assert further.placed("") == further.placed('{"version": 1}') == {}


def test_the_report_of_the_run_has_what_doctor_saw() -> None:
    seen = further.standing(World(*world(WORLDS["one is off, and corosync of another does not run"])))
    assert list(seen) == ["pve1", "pve2", "pve3"]
    one, two, three = seen.values()
    assert isinstance(one, Membership)
    assert isinstance(two, Membership)
    assert (one.config_version, one.quorate, len(one.voters), two.quorum) == (3, False, 1, None)
    assert isinstance(three, StepError)
    assert three.code == "host-unreachable"
    kept = chronicle.Chronicle()
    kept.looked(seen)
    told = model.document(kept, "home", "repair", None, 0.0)
    assert "pve2" in render.markdown(told)
