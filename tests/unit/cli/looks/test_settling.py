"""Before the engine is let go, guests are where they stay: cases as data in tests/cases/motion.yaml."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli import up
from cli.drift.kinds import OFF
from cli.drift.model import Drift
from cli.engine.engine import Run
from cli.looks import dead_nodes, first_look, preparing, settling
from cli.run import engine_runs, loading, reconciling
from cli.run.loaded import LoadedStack
from cli.state.belongings import CLUSTER
from cluster import marks, motion, proxmox_ve
from cluster.errors import AdminError
from cluster.transport.nodes import NodeStepError
from onnode.errors import StepError
from tests.unit.cli.run.test_comparison import Engine
from tests.unit.cluster.worlds import joined, quorum
from tests.unit.onnode.test_cases import merge

if TYPE_CHECKING:
    from cli.description import Description

CASES = yaml.safe_load((Path(__file__).parents[3] / "cases" / "motion.yaml").read_text())
GUESTS = ("vm:200", "ct:300")
EMPTY: dict[str, Any] = {"deployment": {}}


def motion_of(case: dict[str, Any]) -> motion.Motion:
    """Read from the files that a member has in this case."""
    case["manager"]["service_status"] = {sid: one for sid, one in case["manager"]["service_status"].items() if one}
    files = {"etc/pve/ha/manager_status": json.dumps(case["manager"])}
    files |= {f"etc/pve/nodes/{node}/lrm_status": json.dumps(told) for node, told in case["lrm"].items()}
    files |= {f"etc/pve/{path}.conf": f"name: x\nlock: {lock}\n" for path, lock in case["locks"].items()}
    nodes = {node: {"id": 1, "online": int(node not in case["offline"]), "ip": "10.0.0.1"} for node in case["lrm"]}
    return motion.read(files, json.dumps({"nodelist": nodes}))


def case(name: str) -> dict[str, Any]:
    merged = merge(CASES["base"], CASES["cases"][name])
    assert isinstance(merged, dict)
    return merged


@pytest.mark.parametrize("name", CASES["cases"])
def test_what_is_waited_for(name: str) -> None:
    found = case(name)
    said = motion.unrest(motion_of(found), GUESTS, found["answering"], found["running"])
    assert [one.what for one in said] == found["waits"]
    assert all(one.patience_s > 0 for one in said)


def test_files_that_are_written_while_they_are_read_tell_nothing() -> None:
    assert motion.read({"etc/pve/ha/manager_status": '{"timestamp": 1, "ser\0\0'}, "") == motion.Motion()


def test_a_member_is_asked_for_these_files_with_all_others() -> None:
    assert motion.FILES in proxmox_ve.READ


def seen(name: str) -> settling.ClusterView:
    found = case(name)
    told = dataclasses.replace(motion_of(found), running=frozenset(found["running"] or ()))
    names = [name for name in told.online if found["running"] is not None or name != "pve3"]
    looks = [marks.Look(name, name, quorate=True, things=(), cluster="dev", motion=told) for name in sorted(names)]
    return settling.ClusterView(looks, frozenset(found["answering"]))


class World:
    """A cluster that is looked at, and a clock; each look takes the next of what there is to see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: settling.ClusterView) -> None:
        self.looks = list(looks)
        self.asked = 0
        self.now = 0.0
        monkeypatch.setattr(settling, "_look", self.look)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def look(self, _described: Description) -> settling.ClusterView:
        self.asked += 1
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds


MOVING, REST = "a live migration by a user", "at rest"
NO_CLUSTER = settling.ClusterView([marks.Look("pve1", "pve1", quorate=True, things=())], frozenset({"pve1"}))
NO_QUORUM = settling.ClusterView([], frozenset({"pve1"}))


@pytest.mark.parametrize("quiet", [seen(REST), NO_CLUSTER, NO_QUORUM])
def test_a_cluster_at_rest_is_not_looked_at_again(
    dev: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: settling.ClusterView
) -> None:
    world = World(monkeypatch, seen(MOVING))
    settling.wait(dev, EMPTY, quiet)
    assert (world.asked, world.now) == (0, 0)
    assert capsys.readouterr().out == ""


def test_the_end_of_a_migration_is_waited_for_and_told_once(
    dev: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(monkeypatch, seen(MOVING), seen(MOVING), seen(REST))
    settling.wait(dev, EMPTY, seen(MOVING))
    assert world.asked == 3
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "  waiting until guests stay where they are: vm:200: HA is moving it from pve1 to pve2 (state migrate)"
    ]


@pytest.mark.parametrize(
    ("name", "patience_s"),
    [
        (MOVING, motion.MOVE_S),
        ("started, and not joined again", motion.BACK_S),
        ("migrated without HA", motion.MOVE_S),
        ("migrated without HA, and not every member can be asked", motion.MOVE_S),
        ("a migration that failed", motion.STALE_S),
        ("a container's migration that failed", motion.STALE_S),
    ],
)
def test_what_does_not_end_is_named_and_the_run_goes_on(
    dev: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, patience_s: float
) -> None:
    world = World(monkeypatch, seen(name))
    settling.wait(dev, EMPTY, seen(name))
    assert patience_s <= world.now <= patience_s + settling.POLL_S
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[1].startswith("  no longer waiting")
    assert case(name)["waits"][0] in said[1]


def test_nodes_that_were_started_are_waited_for_until_they_are_a_cluster_again(
    dev: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch, NO_QUORUM, seen("started, and not joined again"), seen(MOVING), seen(REST))
    settling.wait(dev, EMPTY)
    assert world.asked == 4


def test_a_vm_that_is_recorded_and_not_described_any_more_counts(dev: Description) -> None:
    state = {
        "deployment": {
            "resources": [
                {
                    "type": "proxmoxve:index/vmLegacy:VmLegacy",
                    "urn": "urn::vm09-vm",
                    "inputs": {"vmId": 209, "nodeName": "pve1"},
                    "provider": "urn:pulumi:dev::p::pulumi:providers:proxmoxve::cluster-api::1",
                }
            ]
        }
    }
    assert settling._guests(dev, EMPTY) == {"vm:200", "ct:300"}
    assert settling._guests(dev, state) == {"vm:200", "ct:300", "vm:209"}


INSTALL = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode$command:remote:Command::proxmox01-install"
STEP = {"type": "command:remote:Command", "urn": INSTALL, "inputs": {"stdin": "{}"}, "outputs": {"stdin": "{}"}}
RECORDED: dict[str, Any] = {"deployment": {"resources": [STEP]}}


class Runs:
    """`up` from the first look on, without machines; notes in which order things happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dev: Description, *founds: first_look.FirstLook) -> None:
        self.done: list[str] = []
        self.engine = Engine(RECORDED)
        self.founds = list(founds)
        self.behind: list[str] = []
        self.caught_up: bool | StepError = True
        loaded = LoadedStack(dev, self.engine, RECORDED)  # type: ignore[arg-type]
        monkeypatch.setattr(loading, "load", lambda *_, **__: loaded)
        monkeypatch.setattr(LoadedStack, "trusting", lambda loaded, _: loaded)
        monkeypatch.setattr(reconciling, "with_machines", lambda loaded, *_, **__: loaded)
        monkeypatch.setattr(first_look, "look", self.look)
        monkeypatch.setattr(engine_runs, "run", self.run)
        monkeypatch.setattr(preparing, "start", self.start)
        monkeypatch.setattr(preparing, "behind", lambda _: self.behind)
        monkeypatch.setattr(preparing, "catch_up", self.catch_up)
        monkeypatch.setattr(dead_nodes, "wait_for_recovery", lambda *_: self.done.append("recovered"))
        monkeypatch.setattr(settling, "wait", self.settle)

    def look(self, *_: object, **__: object) -> first_look.FirstLook:
        self.done.append("look")
        return self.founds.pop(0)

    def settle(self, _described: Description, _state: dict[str, Any], seen: settling.ClusterView | None = None) -> None:
        self.done.append("started nodes are back" if seen is None else "at rest")

    def start(self, _described: Description, installations: set[str]) -> None:
        self.done.append(" ".join(["start", *installations]))

    def catch_up(self, _described: Description) -> bool:
        self.done.append("caught up")
        if isinstance(self.caught_up, StepError):
            raise self.caught_up
        return self.caught_up

    def run(self, _loaded: object, operation: str, *arguments: str, **_: object) -> Run:
        words = ["refresh"] if "--refresh" in arguments else []
        marks = [one["inputs"].get("update", "") for one in self.engine.state["deployment"]["resources"]]
        self.done.append(" ".join([operation, *words, *marks]).strip())
        self.engine.state = json.loads(json.dumps(RECORDED))
        return Run(0, "")


POWER = Drift(INSTALL, "proxmox01", "its VM 101 on virtual is powered off", OFF)


def test_nodes_that_are_off_are_started_and_settled_before_anything_is_refreshed(
    dev: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    off, on = first_look.FirstLook({CLUSTER: []}, {}, [POWER]), first_look.FirstLook({CLUSTER: []}, {}, [])
    runs = Runs(monkeypatch, dev, off, on)
    up.up("dev", yes=True)
    assert runs.done == [
        "look",
        "start proxmox01-install",
        "started nodes are back",
        "look",
        "recovered",
        "at rest",
        "up refresh",
    ]


def test_the_start_of_a_node_says_once_why(
    dev: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It came three times: as drift, as the step's own words, and as what was started."""
    off, on = first_look.FirstLook({CLUSTER: []}, {}, [POWER]), first_look.FirstLook({CLUSTER: []}, {}, [])
    Runs(monkeypatch, dev, off, on)
    up.up("dev", yes=True)
    said = [line for line in capsys.readouterr().out.splitlines() if "proxmox01" in line and not line.startswith("✓")]
    assert said == ["  drifted: proxmox01: its VM 101 on virtual is powered off", "▸ Start of proxmox01"]


def test_nobody_starts_a_node_without_being_asked(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, dev, first_look.FirstLook({CLUSTER: []}, {}, [POWER]))
    with pytest.raises(AdminError) as refused:
        up.up("dev", yes=False)
    assert refused.value.code == "not-confirmed"
    assert runs.done == ["look"]


def test_without_such_nodes_there_is_one_look_and_one_run(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, dev, first_look.FirstLook({CLUSTER: []}, {}, []))
    up.up("dev", yes=True)
    assert runs.done == ["look", "recovered", "at rest", "up refresh"]


def without_vote(number: int) -> first_look.FirstLook:
    """A cluster of three in which that node has no vote, though it answers."""
    votes = {one for one in (1, 2, 3) if one != number}
    reports = {f"proxmox0{one}": joined(one, 1, 2, 3, quorum=quorum(sorted(votes), expected=3)) for one in votes}
    return first_look.FirstLook({CLUSTER: []}, {}, [], frozenset({*reports, f"proxmox0{number}"}), (), reports)


ON = first_look.FirstLook({CLUSTER: []}, {}, [])
AS_EVER = ["look", "recovered", "at rest", "up refresh"]


@pytest.mark.parametrize(
    ("founds", "behind", "done"),
    [
        pytest.param(
            [without_vote(2), ON], ["proxmox02"], ["look", "caught up", "started nodes are back", *AS_EVER], id="behind"
        ),
        pytest.param([without_vote(2)], [], AS_EVER, id="without a vote for another reason"),
        pytest.param([ON], ["proxmox02"], AS_EVER, id="nobody is without a vote, so nobody is asked"),
        pytest.param(
            [first_look.FirstLook({CLUSTER: []}, {}, [POWER]), ON],
            ["proxmox01"],
            ["look", "start proxmox01-install", "caught up", "started nodes are back", *AS_EVER],
            id="it was off",
        ),
    ],
)
def test_a_member_that_missed_a_change_gets_it_before_anything_waits_for_it(
    dev: Description,
    monkeypatch: pytest.MonkeyPatch,
    founds: list[first_look.FirstLook],
    behind: list[str],
    done: list[str],
) -> None:
    """Without that, no membership lasts, and the wait for it was in vain."""
    runs = Runs(monkeypatch, dev, *founds)
    runs.behind = behind
    up.up("dev", yes=True)
    assert runs.done == done


def test_what_had_to_be_left_as_it_was_is_not_waited_for(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, dev, without_vote(2))
    runs.behind, runs.caught_up = ["proxmox02"], False
    up.up("dev", yes=True)
    assert runs.done == ["look", "caught up", *AS_EVER[1:]]


def test_a_member_that_finds_no_quorum_even_so_does_not_end_the_run(
    dev: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its links may be cut: what the engine runs says that."""
    runs = Runs(monkeypatch, dev, without_vote(2), ON)
    runs.behind = ["proxmox02"]
    runs.caught_up = NodeStepError("no-quorum", "proxmox02", "error[no-quorum]: proxmox02 is not in a quorate cluster")
    up.up("dev", yes=True)
    assert runs.done == ["look", "caught up", "started nodes are back", *AS_EVER]
    [said] = [line for line in capsys.readouterr().out.splitlines() if "no quorum" in line]
    assert said == "  proxmox02: no quorum even with it, so something else is amiss there; the run goes on"


def test_a_member_that_could_not_be_given_it_ends_the_run(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, dev, without_vote(2))
    runs.behind, runs.caught_up = ["proxmox02"], NodeStepError("services", "proxmox02", "corosync does not start")
    with pytest.raises(NodeStepError, match="corosync does not start"):
        up.up("dev", yes=True)
    assert runs.done == ["look", "caught up"]


def test_nobody_is_given_a_configuration_without_being_asked(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, dev, without_vote(2))
    runs.behind = ["proxmox02"]
    with pytest.raises(AdminError) as refused:
        up.up("dev", yes=False)
    assert (refused.value.code, runs.done) == ("not-confirmed", ["look"])


def test_a_node_without_a_connection_does_not_answer() -> None:
    opened: Any = {"pve1": object(), "pve2": AdminError("host-unreachable", "silent")}
    assert settling.answering(opened) == {"pve1"}
