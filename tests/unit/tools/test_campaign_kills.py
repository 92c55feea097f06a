"""Runs that are hit: which, when and by what; what goes is the right thing; a campaign goes on where it was cut off."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.lab_project import Run
from tests.support.processes import eventually
from tests.support.program import stack_file
from tools.campaign import changes, faults, guests, killing, results, world
from tools.campaign.faults import Fault
from tools.campaign.killing import Kill

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEV = stack_file("dev")
LINES = (
    "▸ Run",
    "  + create   vm01-vm                               2.5 s",
    "  ✓ checked  ct01-verify-guest                     1.7 s",
    "  ~ update   cluster-change                       12.0 s  looks again",
    "  ✗ failed   vm01-ha                               0.1 s",
)


def test_cases_are_repeatable_and_have_every_victim_in_every_phase() -> None:
    found = killing.cases(DEV, 1)
    assert killing.cases(DEV, 1, 9) == found[:9] != killing.cases(DEV, 2, 9)
    assert [one.number for one in found] == [*range(1, len(found) + 1)]
    assert len(found) == killing.COUNT
    assert {(one.phase, one.victim) for one in found} == {
        (phase, one) for phase in killing.PHASES for one in killing.VICTIMS
    }
    assert all(0 <= one.after <= killing.LAST[one.change.kind if one.change else one.phase] for one in found)
    assert {*killing.LAST} == {"build", "destroy", *changes.KINDS}
    assert [one.phase for one in found[:6]] == ["build", *["change"] * 3, "destroy", "build"]
    assert {one.change.kind for one in found if one.change} == changes.KINDS.keys()


@pytest.mark.parametrize("seed", range(5))
def test_what_breaks_belongs_to_a_node_that_stays(seed: int) -> None:
    file = changes.start(DEV)
    broken = 0
    for one in killing.cases(DEV, seed):
        assert (one.fault is not None) == (one.victim in faults.FAULTS)
        after = one.change.made.file if one.change else file
        if one.fault:
            broken += 1
            there = {node["name"]: node["vmid"] for node in file["nodes"]}
            assert there[one.fault.node] == one.fault.vmid
            assert one.fault.node in {node["name"] for node in after["nodes"]}
            assert one.fault.node not in (one.change.made.destroyed if one.change else ())
            assert one.fault.link < len(file["cluster"]["links"])
        file = after
    assert broken == killing.COUNT // 3


class Broken:
    """A lab's project that writes down what is done to it."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.did: list[str] = []

    def lab(self, *words: str) -> Run:
        self.did.append(" ".join(words))
        return Run(self.code, "")

    def ssh(self, address: str, command: str) -> Run:
        self.did.append(f"{address}: {command}")
        return Run(self.code, "")


@pytest.mark.parametrize(
    ("fault", "words", "broken", "mended"),
    [
        (
            Fault(faults.LINK, "proxmox02", 102, 1, 20.0),
            "link 1 of proxmox02 is cut for 20 s",
            "link cut proxmox02 1",
            ["link restore proxmox02 1"],
        ),
        (
            Fault(faults.STORAGE, "proxmox02", 102, 1, None),
            "the storage's server does not answer until the run has ended",
            f"192.168.0.180: {faults.FROZEN}",
            [f"192.168.0.180: {faults.THAW}"],
        ),
        (
            Fault(faults.POWER, "proxmox02", 102, 1, None),
            "proxmox02 loses its power",
            "192.168.0.180: qm status 102 | grep --quiet running && qm stop 102",
            [],
        ),
    ],
)
def test_what_breaks_is_mended_but_a_node_stays_off(fault: Fault, words: str, broken: str, mended: list[str]) -> None:
    project: Any = Broken()
    assert fault.words == words
    assert fault.strike(project)
    assert project.did == [broken]
    fault.mend(project)
    assert project.did == [broken, *mended]
    assert not fault.strike(Broken(1))  # type: ignore[arg-type]


def test_a_case_with_a_node_that_loses_its_power_is_counted_as_such() -> None:
    power = Kill(1, "build", faults.POWER, 3, None, Fault(faults.POWER, "proxmox02", 102, 1, None))
    assert (power.kind, power.words) == ("power", "from nothing; after 3 resources proxmox02 loses its power")
    assert Kill(1, "build", "the engine", 3).kind == "build"


def test_a_case_begins_with_what_the_changes_before_it_have_made() -> None:
    found = killing.cases(DEV, 1, 9)
    assert killing.before(DEV, found, found[0]) == changes.start(DEV)
    assert killing.before(DEV, found, found[1]) == changes.start(DEV)
    first = found[1].change
    assert first
    assert killing.before(DEV, found, found[2]) == first.made.file
    assert killing.before(DEV, found, found[4]) == killing.before(DEV, found, found[5])


def test_only_lines_of_resources_that_have_ended_count() -> None:
    assert [line for line in LINES if killing.ENDED.match(line)] == list(LINES[1:])
    assert killing.BEGAN.match("▸ Run")
    assert not killing.BEGAN.match("▸ Guests, and what drifted")
    for other in ("✓ Run (139.0 s)", "  waiting until the cluster is well", "  38 created, 13 checked", ""):
        assert not killing.ENDED.match(other)


class Project:
    """Runs a script instead of the program."""

    def __init__(self, script: str) -> None:
        self.script = script

    def start_admin(self, *_: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


class Lab:
    """A lab in which all works."""

    identity, tree = "nested-pve-lab-of-a-test", "abc1234"

    def __init__(self, project: Any = None) -> None:  # noqa: ANN401 - what has `start_admin`
        self.project = project or self
        self.did: list[str] = []
        self.case = 0
        self.converges: dict[int, int] = {}  # runs by number of a case, where it is not 1

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a case asks for
        def done(*given: Any) -> Any:  # noqa: ANN401
            self.did.append(" ".join([name, *(one for one in given if isinstance(one, str))]))
            return {
                "converge": (self.converges.get(self.case, 1), []),
                "looks": [],
                "foreign": [],
                "difference": [],
            }.get(name)

        return done


RUN = f"""
import subprocess, sys, time
child = subprocess.Popen(["bash", "-c", 'exec -a "$0" sleep 60', "/x/pulumi-language-python"])
for line in {LINES!r}: print(line, flush=True); time.sleep(0.05)
sys.exit(3 if child.wait(30) < 0 else 0)
"""
ONE_RESOURCE = "print('▸ Destroy'); print('  + create   vm01-vm      2.5 s', flush=True); import time; time.sleep({})"


def ended(script: str, kill: Kill) -> tuple[Run, bool]:
    """A run of the script that is hit, and whether it was."""
    lab: Any = Lab(Project(script))
    return killing.ended_by(lab, "up", kill)


def test_a_process_is_killed_after_so_many_resources_and_the_run_ends_by_itself() -> None:
    run, hit = ended(RUN, Kill(1, "build", "the language host", 2))
    assert hit
    assert run.code == 3
    assert run.output.splitlines() == list(LINES)


def test_the_whole_program_says_nothing_more() -> None:
    slow = RUN.replace("0.05", "2")  # the last line is far away
    run, hit = ended(slow, Kill(1, "build", killing.PROGRAM, 1))
    assert hit
    assert run.code < 0
    assert LINES[-1] not in run.output


@pytest.mark.parametrize(("seconds", "mended_after"), [(0.4, False), (None, True)])
def test_what_breaks_is_whole_again_after_its_time_or_after_the_run(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, *, mended_after: bool
) -> None:
    """It is tried until it is there."""
    monkeypatch.setattr(killing, "AGAIN_S", 0.01)
    project: Any = Project(
        "import time\nprint('▸ Run')\nfor one in range(4): print('  + create   x   2.5 s', flush=True); time.sleep(0.5)"
    )
    tries, ended = iter([False, False, True]), []
    monkeypatch.setattr(Fault, "strike", lambda *_: next(tries))
    process = project.start_admin()
    project.start_admin = lambda *_: process
    monkeypatch.setattr(Fault, "mend", lambda *_: ended.append(process.poll() is not None))
    fault = Fault(faults.LINK, "proxmox02", 102, 1, seconds)
    lab: Any = Lab(project)
    run, hit = killing.ended_by(lab, "up", Kill(1, "build", faults.LINK, 1, None, fault))
    assert (run.code, hit, ended) == (0, True, [mended_after])


def test_a_run_that_does_not_end_is_killed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "RUN_LIMIT_S", 0.3)
    monkeypatch.setattr(Fault, "strike", lambda *_: True)
    monkeypatch.setattr(Fault, "mend", lambda *_: None)
    fault = Fault(faults.STORAGE, "proxmox02", 102, 1, None)
    run, _ = ended(ONE_RESOURCE.format(60), Kill(1, "build", faults.STORAGE, 1, None, fault))
    assert run.code < 0
    assert "still running after 0.3 s" in run.output


def test_without_a_resource_a_run_is_hit_when_the_engine_starts() -> None:
    script = "print('▸ Guests', flush=True); import time; time.sleep(0.3); print('▸ Run', flush=True); time.sleep(60)"
    run, hit = ended(script, Kill(1, "change", killing.PROGRAM, 0))
    assert hit
    assert run.output.splitlines() == ["▸ Guests", "▸ Run"]


def test_one_that_was_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "FIND_S", 0.2)
    run, hit = ended(ONE_RESOURCE.format(0.5), Kill(1, "build", "the engine", 1))
    assert (run.code, hit) == (0, False)
    _, hit = ended(ONE_RESOURCE.format(0.5), Kill(1, "build", killing.PROGRAM, 9))
    assert not hit, "the run ended before"


def test_a_step_is_found_on_machines_of_that_lab_only() -> None:
    process = subprocess.Popen(["bash", "-c", 'exec -a "$0" sleep 60', "python3 /var/lib/nested-pve-ha/onnode"])
    try:
        own = open(f"/proc/{process.pid}/cgroup").read().split()[0]  # noqa: PTH123, SIM115
        assert eventually(lambda: process.pid in set(killing.on_machines(own)), 10)
        assert list(killing.on_machines("nested-pve-lab-of-nobody")) == []
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    lab = Lab()

    @contextmanager
    def fresh() -> Iterator[Lab]:
        lab.did.append("fresh")
        yield lab

    def ended_by(_lab: object, command: str, kill: Kill) -> tuple[Run, bool]:
        lab.case = kill.number
        lab.did.append(f"killed {command}")
        return Run(1, "next: run it again"), True

    monkeypatch.setattr(results, "DIRECTORY", tmp_path)
    monkeypatch.setattr(world, "fresh", fresh)
    monkeypatch.setattr(guests, "INTERVAL_S", 0.01)
    monkeypatch.setattr(killing, "ended_by", ended_by)
    return lab


def numbers() -> list[int]:
    return [case.number for case in results.read(killing.PART, 1)]


def test_a_cycle_builds_changes_and_destroys(lab: Lab) -> None:
    killing.campaign(DEV, 1, 5)
    assert numbers() == [*range(1, 6)]
    assert [one for one in lab.did if one.startswith(("killed", "build", "fresh"))] == [
        "fresh", *["killed up"] * 4, "killed down",
    ]  # fmt: skip
    lab.did.clear()
    killing.campaign(DEV, 1, 5)
    assert lab.did == []


def test_one_that_was_cut_off_in_a_cycle_builds_first_what_was_there(lab: Lab) -> None:
    killing.campaign(DEV, 1, 3)
    lab.did.clear()
    killing.campaign(DEV, 1, 4)
    assert numbers() == [1, 2, 3, 4]
    assert lab.did[:3] == ["fresh", "start", "build"]


def test_a_mute_failure_of_a_killed_run_is_counted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "ended_by", lambda *_: (Run(1, "Traceback"), True))
    killing.campaign(DEV, 1, killing.COUNT)
    victims = [kill.victim for kill in killing.cases(DEV, 1)]
    told = {victims[case.number - 1]: case.failures for case in results.read(killing.PART, 1)}
    assert [one.has_next for one in told["the engine"]] == [False]
    assert told[killing.PROGRAM] == [], "it was killed as a whole, and could say nothing"
    assert lab.did


def test_a_case_that_did_not_go_well_is_done_again_when_asked_for_and_no_other(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "seen", lambda *_: [])  # no guest of the case, so none that is lost
    lab.converges = {3: 0, 7: 0}
    killing.campaign(DEV, 1, 8)
    assert numbers() == [*range(1, 9)]
    lab.did.clear()
    killing.campaign(DEV, 1, 8)
    assert lab.did == []

    lab.converges = {7: 0}
    built = list[Any]()
    monkeypatch.setattr(lab, "build", built.append, raising=False)
    killing.campaign(DEV, 1, 8, again=True)
    assert lab.did.count("fresh") == 2
    whole = killing.cases(DEV, 1)
    assert built == [killing.before(DEV, whole, whole[2]), killing.before(DEV, whole, whole[6])]
    assert [case.runs for case in results.read(killing.PART, 1)] == [1, 1, 1, 1, 1, 1, 0, 1]
    assert [case.number for case in results.mended(killing.PART, 1)] == [3, 7]
