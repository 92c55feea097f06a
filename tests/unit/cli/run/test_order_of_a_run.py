"""In which order `up`, `preview` and `down` do what they do, and what a refusal leaves undone."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import chronicle, description, down, preview, up
from cli.drift import forthcoming, record, whose
from cli.drift.kinds import ADDED_CARD, LOCKED, REFUSED, SILENT, UNDESCRIBED
from cli.drift.model import Drift
from cli.engine import engine, environment
from cli.engine.engine import Run
from cli.engine.failures import Failure
from cli.looks import dead_nodes, devices_at_risk, first_look, image_check, preparing, trust, withdrawal
from cli.run import confirmation, loading, reconciling
from cli.run.engine_runs import RunError
from cli.run.loaded import LoadedStack
from cli.state import logins, ownership, site_instance
from cli.state.belongings import CLUSTER
from cluster import guests_inside
from cluster.errors import AdminError
from cluster.marks import Look
from components.recorded import ADMIN, DESIGN, LOCAL_STEP
from onnode.contract.membership import Membership
from tests.unit.cli.looks.test_settling import INSTALL, POWER, RECORDED, Runs
from tests.unit.cli.report.test_markdown import FACTS, designed, step
from tests.unit.cli.run.test_comparison import Engine
from tests.unit.cluster.worlds import joined, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.description import Description

QUIET = first_look.FirstLook({CLUSTER: []}, {}, [])
FIRST = ["prepare", "look", "compared"]
THEN = ["recovered", "at rest", "at risk", "images", "logins"]
CHANGES = {"update": 1, "same": 3}


class Order(Runs):
    """Notes everything that a run does, and what it asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dev: Description, *founds: first_look.FirstLook) -> None:
        super().__init__(monkeypatch, dev, *founds)
        self.loaded: Any = LoadedStack(dev, self.engine, RECORDED)  # type: ignore[arg-type]
        self.looked: list[dict[str, object]] = []
        self.answer = True
        self.planned: dict[str, int] = {}
        self.events: list[Any] = []
        self.leaves: dict[str, Any] = {}  # the state after a run that fails
        self.fails: dict[str, Exception] = {}
        self.copied: Engine | None = None
        nothing: list[Any] = []
        for module, name, word, result in (
            (devices_at_risk, "refuse", "at risk", None),
            (image_check, "intact", "images", nothing),
            (logins, "outdated", "logins", set()),
            (preparing, "put_access_back", "access", True),
            (guests_inside, "of_stack", "guests inside", None),
            (ownership, "lost", "lost", nothing),
            (ownership, "compare", "findings", ownership.Findings()),
            (ownership, "left", "left", ownership.Findings()),
            (withdrawal, "withdraw", "withdrawn", None),
            (whose, "destroyed", "named", ["VM 200 (vm01) on proxmox01"]),
        ):
            monkeypatch.setattr(module, name, self.noting(word, result))
        monkeypatch.setattr(first_look, "look", self.look)
        monkeypatch.setattr(loading, "load", self.prepare)
        monkeypatch.setattr(reconciling, "with_machines", self.compare)
        monkeypatch.setattr(confirmation, "confirm", self.confirm)
        monkeypatch.setattr(preview, "scratch", self.scratch)
        monkeypatch.setattr(description, "read", lambda *_: dev)
        monkeypatch.setattr(environment, "for_engine", dict)
        monkeypatch.setattr(environment, "put_back_state", lambda *_: None)
        monkeypatch.setattr(trust, "settings", lambda *_: {})
        monkeypatch.setattr(engine, "Engine", lambda *_: self.engine)
        monkeypatch.setattr(site_instance, "refuse_gone", self.noting("site", None))

    def noting(self, word: str, result: object) -> Callable[..., Any]:
        def call(*_: object, **__: object) -> object:
            self.done.append(word)
            if error := self.fails.get(word):
                raise error
            return result

        return call

    def prepare(self, *_: object, **__: object) -> LoadedStack:
        self.done.append("prepare")
        return self.loaded  # type: ignore[no-any-return]

    def look(self, *_: object, **options: object) -> first_look.FirstLook:
        self.looked.append(options)
        return super().look()

    def compare(self, loaded: LoadedStack, *_: object, acting: bool = True, **__: object) -> LoadedStack:
        self.done.append("compared" if acting else "compared, and nothing touched")
        if error := self.fails.get("compared"):
            raise error
        return loaded

    def confirm(self, question: str) -> None:
        self.done.append(f"asked: {question.split(maxsplit=1)[0]}")
        if not self.answer:
            raise AdminError("not-confirmed", "the answer was no", observed="n", expected="y")

    @contextmanager
    def scratch(self, _engine: object, state: dict[str, Any]) -> Iterator[Engine]:
        self.done.append("copied")
        self.copied = Engine(state)
        yield self.copied
        self.done.append("copy removed")

    def run(self, _loaded: object, operation: str, *arguments: str, **options: object) -> Run:
        super().run(_loaded, operation, *arguments, **options)
        if self.copied is not None and _loaded.engine is self.copied:  # type: ignore[attr-defined]
            self.done[-1] += " over the copy"
        if error := self.fails.get(operation):
            self.engine.state = self.leaves or self.engine.state
            raise error
        return Run(0, "", changes=self.planned, events=self.events)


def with_design(inputs: dict[str, Any]) -> dict[str, Any]:
    """The state, and a recorded design."""
    design = {"type": DESIGN, "urn": "urn:pulumi:dev::p::nested-pve-ha:index:Design::design", "inputs": inputs}
    recorded = copy.deepcopy(RECORDED)
    recorded["deployment"]["resources"].insert(0, {**design, "outputs": inputs})
    return recorded


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch, dev: Description) -> Order:
    return Order(monkeypatch, dev, QUIET)


# -- up ----------------------------------------------------------------------------------------------------------------


def test_up_looks_settles_and_refuses_before_the_engine_runs(order: Order) -> None:
    assert up.up("dev", yes=True) == up.Result(changed=False, left=[])
    assert order.done == [*FIRST, *THEN, "up refresh"]
    order.founds, order.done, order.planned = [QUIET], [], CHANGES
    assert up.up("dev", yes=True).changed


def test_up_shows_its_plan_and_asks_before_it_makes_changes(order: Order) -> None:
    order.planned = CHANGES
    up.up("dev", yes=False)
    assert order.done == [*FIRST, *THEN, "preview refresh", "asked: Make", "up refresh"]


def test_up_asks_nobody_about_a_plan_without_changes(order: Order) -> None:
    up.up("dev", yes=False)
    assert order.done == [*FIRST, *THEN, "preview refresh", "up refresh"]


def test_up_makes_nothing_when_the_answer_is_no(order: Order) -> None:
    order.planned, order.answer = CHANGES, False
    with pytest.raises(AdminError) as refused:
        up.up("dev", yes=False)
    assert refused.value.code == "not-confirmed"
    assert order.done == [*FIRST, *THEN, "preview refresh", "asked: Make"]


@pytest.mark.parametrize(
    ("word", "code", "until"),
    [
        ("compared", "guest-foreign", FIRST),
        ("at risk", "device-not-described", [*FIRST, "recovered", "at rest", "at risk"]),
        ("images", "image-unreadable", [*FIRST, "recovered", "at rest", "at risk", "images"]),
    ],
)
def test_a_refusal_of_up_comes_before_the_engine_runs(order: Order, word: str, code: str, until: list[str]) -> None:
    order.fails[word] = AdminError(code, "it is refused", observed="x")
    with pytest.raises(AdminError) as refused:
        up.up("dev", yes=True)
    assert (refused.value.code, order.done) == (code, until)
    assert order.engine.state == RECORDED


def test_a_dead_nodes_guests_are_waited_for_before_anything_is_asked_or_run(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.fails["recovered"] = AdminError("guest-node-down", "guest 200 is on a node that is down", observed="x")
    monkeypatch.setattr(dead_nodes, "wait_for_recovery", order.noting("recovered", None))
    with pytest.raises(AdminError) as refused:
        up.up("dev", yes=False)
    assert (refused.value.code, order.done) == ("guest-node-down", [*FIRST, "recovered"])


def test_nodes_that_are_off_are_started_and_then_all_is_looked_at_again(order: Order) -> None:
    order.founds = [first_look.FirstLook({CLUSTER: []}, {}, [POWER]), QUIET]
    up.up("dev", yes=False)
    assert order.done == [
        *FIRST,
        *("asked: Start", "at risk", "images", "start proxmox01-install", "started nodes are back"),
        *("look", "compared", *THEN, "preview refresh", "up refresh"),
    ]


def test_access_is_put_back_before_anybody_logs_in_as_that_user(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "cannot_log_in", lambda *_: True)
    up.up("dev", yes=False)
    assert order.done == [*FIRST, *THEN, "asked: The", "access", "preview refresh", "up refresh"]


def test_what_users_added_is_out_of_the_record_again_before_the_run(order: Order) -> None:
    added = Drift(INSTALL, "virtual", "VM 101 has net7", ADDED_CARD)
    order.founds = [first_look.FirstLook({CLUSTER: []}, {}, [added])]
    up.up("dev", yes=True)
    assert order.done == [*FIRST, *THEN, "refresh", "up"], "a run that refreshes would record it once more"


def test_up_names_what_only_a_person_puts_right(order: Order) -> None:
    drifted = {
        kind: Drift(INSTALL, "virtual", f"it is {kind}", kind) for kind in (REFUSED, LOCKED, SILENT, UNDESCRIBED)
    }
    order.founds = [first_look.FirstLook({CLUSTER: []}, {}, list(drifted.values()))]
    left = up.up("dev", yes=True).left
    assert left == [drifted[REFUSED], drifted[LOCKED], drifted[SILENT]]


def test_what_drifted_and_what_changes_is_entered_in_the_chronicle(order: Order) -> None:
    fewer = copy.deepcopy(FACTS)
    del fewer["nodes"][2]
    order.events = [designed(FACTS, fewer)]
    order.founds = [first_look.FirstLook({CLUSTER: []}, {}, [Drift(INSTALL, "virtual", "it is gone")])]
    with chronicle.kept() as kept:
        up.up("dev", yes=False)
    assert kept.drifted == [chronicle.Remark("virtual", "it is gone", "drifted")]
    assert [one.where for one in kept.changes if "leaves cluster" in one.what] == ["node proxmox03"]
    assert kept.transitions == ["proxmox03 leaves for good; meanwhile the cluster survives the loss of 0 nodes"]


@pytest.mark.parametrize(("code", "again"), [("foreign-vmid", ["look", "lost"]), ("task-failed", [])])
def test_a_vm_that_somebody_made_in_the_moment_of_ours_is_forgotten(order: Order, code: str, again: list[str]) -> None:
    order.founds = [QUIET, QUIET]
    order.fails["up"] = RunError([Failure(code, "", "VM 101 is somebody else's")])
    with pytest.raises(RunError) as failed:
        up.up("dev", yes=True)
    assert failed.value.code == code
    assert order.done == [*FIRST, *THEN, "up refresh", *again]


def test_a_run_that_failed_leaves_the_design_of_before(order: Order) -> None:
    """A refused change is no change of what is built, and the next preview compares with that."""
    before, after = with_design({"memory": 1}), with_design({"memory": 2})
    order.loaded, order.engine.state = replace(order.loaded, state=before), before
    order.leaves = after
    order.fails["up"] = RunError([Failure("plan-loses-quorum", "", "it leaves")])
    with pytest.raises(RunError) as failed:
        up.up("dev", yes=True)
    assert failed.value.code == "plan-loses-quorum"
    assert order.engine.state == before


def test_why_a_run_failed_is_said_even_if_nothing_can_be_recorded(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_self: object, _seen: object, _state: object) -> None:
        raise AdminError("stack-locked", "another run works on this stack", observed="x")

    before = with_design({"memory": 1})
    order.loaded, order.leaves = replace(order.loaded, state=before), with_design({"memory": 2})
    order.fails["up"] = RunError([Failure("run-interrupted", "", "it was interrupted")])
    monkeypatch.setattr(Engine, "replace_state", locked)
    with pytest.raises(RunError) as failed:
        up.up("dev", yes=True)
    assert failed.value.code == "run-interrupted"


# -- preview -----------------------------------------------------------------------------------------------------------


def test_a_preview_looks_at_no_machine_and_records_nothing(order: Order) -> None:
    preview.preview("dev")
    assert order.done == ["site", "preview"]
    assert order.engine.state == RECORDED


def test_a_preview_that_looks_works_on_a_copy(order: Order) -> None:
    preview.preview("dev", look=True)
    assert order.done == [
        *("site", "look", "findings", "at risk", "recovered", "at rest"),
        *("copied", "compared, and nothing touched", "preview refresh over the copy", "copy removed"),
    ]
    assert order.looked == [{"drifted": True, "all_hosts": False}], (
        "a host that does not answer is no reason to show nothing"
    )
    assert order.engine.state == RECORDED


def test_a_preview_of_machines_that_are_gone_runs_nothing(order: Order) -> None:
    order.fails["site"] = AdminError("site-is-new", "the machines are others", observed="x")
    with pytest.raises(AdminError) as refused:
        preview.preview("dev")
    assert (refused.value.code, order.done) == ("site-is-new", ["site"])


def test_a_preview_that_looks_refuses_before_it_copies(order: Order) -> None:
    order.fails["at risk"] = AdminError("device-not-described", "it would go", observed="x")
    with pytest.raises(AdminError) as refused:
        preview.preview("dev", look=True)
    assert (refused.value.code, order.done) == ("device-not-described", ["site", "look", "findings", "at risk"])


def test_a_preview_without_the_apis_user_refreshes_and_waits_for_nothing(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "cannot_log_in", lambda *_: True)
    preview.preview("dev", look=True)
    assert order.done == [
        *(
            "site",
            "look",
            "findings",
            "at risk",
            "copied",
            "compared, and nothing touched",
            "preview over the copy",
            "copy removed",
        )
    ]


def test_what_planned_steps_would_refuse_is_said_after_the_plan_was_shown(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [Failure("foreign-subnet", "", "the subnet is taken")]
    monkeypatch.setattr(forthcoming, "planned", lambda _events: ["a step"])
    monkeypatch.setattr(forthcoming, "forecast", lambda *_: SimpleNamespace(silence="", refused=refused))
    with pytest.raises(RunError) as failed:
        preview.preview("dev", look=True)
    assert failed.value.code == "foreign-subnet"
    assert order.done[-2:] == ["preview refresh over the copy", "copy removed"]


@pytest.mark.parametrize("looking", [False, True])
def test_a_preview_refuses_what_up_would_refuse_once_all_is_shown(
    order: Order, capsys: pytest.CaptureFixture[str], *, looking: bool
) -> None:
    another = copy.deepcopy(FACTS)
    another["nodes"][2]["nodeId"] = 9
    order.events = [designed(FACTS, another)]
    with pytest.raises(AdminError) as refused:
        preview.preview("dev", look=looking)
    assert refused.value.code == "change-refused"
    assert "node proxmox03: Corosync number 3 → 9" in refused.value.observed
    said = capsys.readouterr().out
    assert "! `up` refuses: node proxmox03" in said
    assert "planned: " in said
    order.events = [designed(FACTS, FACTS)]
    order.founds = [QUIET]
    preview.preview("dev", look=looking)


def test_a_preview_shows_what_the_cluster_goes_through(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    fewer = copy.deepcopy(FACTS)
    del fewer["nodes"][2]
    order.events = [designed(FACTS, fewer)]
    preview.preview("dev", look=False)
    said = capsys.readouterr().out
    assert "! takes a node out of the cluster: node proxmox03: leaves cluster proxmox: votes 3 → 2, 2 needed" in said
    assert "1. proxmox03 leaves for good; meanwhile the cluster survives the loss of 0 nodes" in said


def told(**second: Any) -> first_look.FirstLook:  # noqa: ANN401 - fields as they are
    """A look at a cluster in which the second node has these values."""
    nodes = [listed(1), replace(listed(2), **second), listed(3)]
    memberships = {f"proxmox0{n}": joined(n, 1, 2, 3, nodes=nodes) for n in (1, 2, 3)}
    return first_look.FirstLook({CLUSTER: []}, {}, [], memberships=memberships)


ASKED = step("update", LOCAL_STEP, "design-identity", new={"create": f"{ADMIN} identity"})
CHANGED = "link 1 of proxmox02 has 10.20.1.99, not 10.20.1.186"


@pytest.mark.parametrize(
    ("events", "title", "planned"),
    [
        ([designed(FACTS, FACTS), ASKED], "and the run begins with what it shows", True),
        ([designed(FACTS, FACTS)], "no step of this plan looks at that", False),
    ],
)
def test_a_preview_that_looks_plans_from_the_live_cluster_what_a_step_of_the_run_would(
    order: Order, capsys: pytest.CaptureFixture[str], events: list[Any], title: str, *, planned: bool
) -> None:
    order.events, order.founds = events, [told(links={0: "10.10.1.186", 1: "10.20.1.99"})]
    preview.preview("dev", look=True)
    said = capsys.readouterr().out
    assert title in said
    assert CHANGED in said
    assert ("1. link 1 gets another address on proxmox02" in said) is planned
    preview.preview("dev")
    assert CHANGED not in capsys.readouterr().out


def test_what_the_live_cluster_refuses_comes_before_what_only_the_record_refuses(
    order: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    another = copy.deepcopy(FACTS)
    another["nodes"][2]["nodeId"] = 9
    order.events, order.founds = [designed(another, FACTS), ASKED], [told(id=7)]
    with pytest.raises(AdminError) as refused:
        preview.preview("dev", look=True)
    assert (refused.value.code, refused.value.observed) == ("identity-changed", "proxmox02 has id 7")
    assert "planned: " in capsys.readouterr().out
    with pytest.raises(AdminError) as unlooked:
        preview.preview("dev")
    assert unlooked.value.code == "change-refused"


def test_what_the_live_cluster_allows_is_not_refused_for_an_outdated_record(order: Order) -> None:
    """Two links change, by the record; an earlier run, which did not end, has changed one of them."""
    before = copy.deepcopy(FACTS)
    for link in before["cluster"]["links"]:
        link["addresses"]["proxmox02"] = link["addresses"]["proxmox02"].replace(".186", ".196")
    order.events, order.founds = [designed(before, FACTS), ASKED], [told(links={0: "10.10.1.186", 1: "10.20.1.196"})]
    preview.preview("dev", look=True)
    with pytest.raises(AdminError) as refused:
        preview.preview("dev")
    assert refused.value.code == "change-refused"
    assert "no link would connect" in refused.value.observed


# -- down --------------------------------------------------------------------------------------------------------------

BEFORE_DESTROY = [
    "prepare",
    "look",
    "guests inside",
    "lost",
    "left",
    "withdrawn",
    "logins",
    "recovered",
    "at rest",
    "named",
]


def test_down_looks_forgets_and_settles_before_it_destroys(order: Order) -> None:
    down.down("dev", yes=True)
    assert order.done == [*BEFORE_DESTROY, "destroy refresh"]
    assert order.looked == [{"drifted": False, "all_hosts": False}]


def test_down_names_what_goes_and_asks(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    down.down("dev", yes=False)
    assert order.done == [*BEFORE_DESTROY, "asked: Destroy", "destroy refresh"]
    assert "destroyed with its disks: VM 200 (vm01) on proxmox01" in capsys.readouterr().out


def test_what_goes_is_entered_in_the_chronicle(order: Order) -> None:
    member, alone = (
        Look("proxmox01", "proxmox01", quorate=True, things=(), cluster="proxmox"),
        Look("proxmox02", "pve", quorate=True, things=()),
    )
    order.founds = [first_look.FirstLook({CLUSTER: [member, alone]}, {}, [])]
    with chronicle.kept() as kept:
        down.down("dev", yes=True)
    assert kept.changes == [chronicle.Remark("stack", "destroyed with its disks: VM 200 (vm01) on proxmox01")]
    assert kept.before == {
        "proxmox01": Membership("proxmox01", "member", cluster="proxmox", quorate=True),
        "proxmox02": Membership("pve", "absent", quorate=True),
    }


def test_down_destroys_nothing_when_the_answer_is_no(order: Order) -> None:
    order.answer = False
    with pytest.raises(AdminError) as refused:
        down.down("dev", yes=False)
    assert (refused.value.code, order.done) == ("not-confirmed", [*BEFORE_DESTROY, "asked: Destroy"])


def test_guests_of_others_stop_down_before_anything_is_forgotten(order: Order) -> None:
    order.fails["guests inside"] = AdminError("guests-inside", "the nodes have other guests", observed="VM 900")
    with pytest.raises(AdminError) as refused:
        down.down("dev", yes=True)
    assert (refused.value.code, order.done) == ("guests-inside", ["prepare", "look", "guests inside"])
    assert order.engine.state == RECORDED


def test_down_of_nothing_destroys_nothing_and_asks_nobody(
    order: Order, dev: Description, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: dict[str, Any] = {"deployment": {}}
    order.engine.state = nothing
    order.loaded = LoadedStack(dev, order.engine, nothing)  # type: ignore[arg-type]
    down.down("dev", yes=False)
    assert order.done == ["prepare", "look", "lost", "left", "recovered", "at rest"]
    assert "nothing to destroy" in capsys.readouterr().out
