"""The campaign: what is written down at once and goes on, how guests are looked for, and what the page counts."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.lab_project import Run
from tests.support.program import stack_file
from tools.campaign import changes, changing, guests, page, results, world
from tools.campaign.results import Case, Failure, Guest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEV = stack_file("dev")
CASE = Case("changes", 1, 1, "add-node", "proxmox06 is added", "2026-11-28", "a machine", 61.2, 1)
MESSAGE = "before\nerror[link-last]: no link would stay\n  observed: none\n  next: change one link in each run\n"


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for module in (results, world):
        monkeypatch.setattr(module, "DIRECTORY", tmp_path)
    return tmp_path


def test_a_case_is_read_as_it_was_kept_and_a_line_that_was_cut_off_is_left_out(directory: Path) -> None:
    case = replace(CASE, failures=[Failure("up", ["x"], "said", has_next=True)], guests=[Guest("vm:200", 0.6, restarted=False, lost=False)])  # fmt: skip
    results.keep(case)
    results.keep(replace(CASE, seed=2))
    with (directory / "changes-1.jsonl").open("a") as lines:
        lines.write('{"part": "changes", "se')
    assert results.read("changes", 1) == [case]
    assert results.read("changes", 3) == []


class Lab:
    """A lab in which everything works, but for what a test says; `did` is what was done."""

    identity, tree = "nested-pve-lab-of-a-test", "abc1234"

    def __init__(self) -> None:
        self.did: list[str] = []
        self.fails: set[int] = set()
        self.project = self
        self.ups = 0

    def begin(self, file: dict[str, Any]) -> None:
        self.did.append(f"begin {len(file['nodes'])}")

    def configure(self, _file: dict[str, Any]) -> None:
        self.did.append("configure")

    def destroy(self, _file: dict[str, Any], name: str) -> None:
        self.did.append(f"destroy {name}")

    def converge(self, _runs: int, command: str = "up") -> tuple[int, list[Failure]]:
        self.did.append(command)
        self.ups += 1
        failed = self.ups in self.fails
        return (0, [Failure("up", ["unexpected"], "?", has_next=False)]) if failed else (1, [])

    def looks(self) -> list[Failure]:
        return []

    def foreign(self, _file: dict[str, Any]) -> list[str]:
        return []

    def withdraw(self, _file: dict[str, Any]) -> None:
        self.did.append("withdraw")

    def difference(self) -> list[str]:
        return []


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab()

    @contextmanager
    def fresh() -> Iterator[Lab]:
        lab.did.append("fresh")
        yield lab

    monkeypatch.setattr(world, "fresh", fresh)
    monkeypatch.setattr(guests, "INTERVAL_S", 0.01)
    return lab


def numbers() -> list[int]:
    return [case.number for case in results.read("changes", 1)]


def test_each_change_is_a_case_and_at_the_end_all_is_destroyed(lab: Lab) -> None:
    changing.campaign(DEV, 1, 4)
    assert numbers() == [1, 2, 3, 4, 1004]
    assert lab.did.count("fresh") == 1
    assert [one for one in lab.did if one.startswith("destroy")] == ["destroy proxmox01"]
    assert lab.did[-1] == "down"
    lab.did.clear()
    changing.campaign(DEV, 1, 4)
    assert lab.did == []


def test_one_that_was_cut_off_goes_on_with_the_next_case(lab: Lab) -> None:
    changing.campaign(DEV, 1, 3)
    lab.did.clear()
    changing.campaign(DEV, 1, 5)
    assert numbers() == [1, 2, 3, 1003, 4, 5, 1005]
    assert lab.did == ["fresh", "begin 5", *["configure", "up"] * 2, "withdraw", "down"]


def test_no_case_begins_after_the_time(lab: Lab) -> None:
    changing.campaign(DEV, 1, 3, until=time.time() - 1)
    assert lab.did == []
    assert numbers() == []


def test_a_case_that_does_not_converge_is_followed_by_a_fresh_lab(lab: Lab) -> None:
    lab.fails = {2}
    changing.campaign(DEV, 1, 4)
    assert numbers() == [1, 2, 3, 4, 1004]
    assert [case.runs for case in results.read("changes", 1)] == [1, 0, 1, 1, 1]
    assert lab.did.count("fresh") == 2


def test_guests_of_a_case_are_those_before_and_after_it(lab: Lab) -> None:
    changing.campaign(DEV, 1, 1)
    added = changes.sequence(DEV, 1, 1)[0]
    assert (added.kind, len(list(changes.guests(added.made.file)))) == ("add-guest", 3)
    case = results.read("changes", 1)[0]
    assert [(guest.sid, guest.lost) for guest in case.guests] == [("vm:200", True), ("ct:300", True)]
    assert lab.did


def test_a_guest_is_a_process_of_that_lab() -> None:
    """Its control group has the lab's identity: other labs on the machine have guests of the same numbers."""
    title = "/usr/bin/kvm -id 9876 -name x"
    process = subprocess.Popen(
        ["bash", "-c", 'exec -a "$0" sleep 60', title], env={**os.environ, "GUEST_BOOTED": "12.5"}
    )
    own = next(line for line in open(f"/proc/{process.pid}/cgroup").read().split() if line)  # noqa: PTH123, SIM115
    try:
        deadline = time.monotonic() + 10
        while ("vm:9876", "12.5") not in set(guests.running(own)):
            assert time.monotonic() < deadline
        assert list(guests.running("nested-pve-lab-of-nobody")) == []
        with guests.Watch(own) as watch:
            time.sleep(0.1)
        assert watch.silence("vm:9876") < 5
        assert watch.silence("vm:9877") == watch.ended - watch.began
        assert not watch.restarted("vm:9876")
    finally:
        process.kill()
        process.wait()
    assert ("vm:9876", "12.5") not in set(guests.running(own))


def test_the_longest_silence_counts_the_beginning_and_the_end() -> None:
    assert guests.longest([0, 1, 1.5, 5, 5.2, 6]) == 3.5
    assert guests.longest([0, 4, 4.5]) == 4


def test_a_failure_has_names_and_says_whether_a_step_comes_next() -> None:
    told = world.failure("up", Run(1, MESSAGE))
    assert (told.codes, told.has_next) == (["link-last"], True)
    where = world.failure("up", Run(1, "in /somewhere/nested-pve-campaign-ab12_x/project: failed"))
    assert where.text == "in …/project: failed"
    mute = world.failure("up", Run(1, "Traceback"))
    assert (mute.codes, mute.has_next) == ([], False)


def test_the_page_counts_and_names_what_went_wrong() -> None:
    well = replace(CASE, guests=[Guest("vm:200", 0.6, restarted=False, lost=False), Guest("ct:300", 9.0, restarted=True, lost=False)])  # fmt: skip
    lost = replace(CASE, number=2, runs=0, failures=[world.failure("up", Run(1, MESSAGE)), Failure("up", [], "mute", has_next=False)], guests=[Guest("vm:200", 60.0, restarted=False, lost=True)], foreign=["a VM: |gone|"])  # fmt: skip
    dead = replace(CASE, number=3, kind="replace-node", runs=2, guests=[Guest("vm:200", 20.0, restarted=True, lost=False)])  # fmt: skip
    shown = page.text([[dead, lost, well], [replace(CASE, seed=2)]])
    assert "## A cluster that changes, seed 1, 2026-11-28" in shown
    assert "## A cluster that changes, seed 2, 2026-11-28" in shown
    for what, count in (
        ("cases", 3),
        ("guests lost", 1),
        ("things of somebody else's touched", 1),
        ("messages without a next step", 1),
        ("converged by plain `make up`", 2),
        ("of these with the first run", 1),
    ):
        row = next(line for line in shown.splitlines() if line.startswith(f"| {what} "))
        assert row.endswith(f"| {count} |"), row
    assert "| 1 | proxmox06 is added | 61 s | 1 | 0.6 s | 9.0 s | as described |" in shown
    assert "**none worked** | 60.0 s | - | **up: link-last**; **up: failed without a name**; **vm:200 lost**" in shown
    assert "touched: a VM: \\|gone\\|" in shown
    assert "error[link-last]: no link would stay" in shown
    assert "before\nerror" not in shown


def test_a_vm_with_a_node_that_went_is_not_counted_as_away() -> None:
    silent = [Guest("vm:200", 20.0, restarted=True, lost=False), Guest("ct:300", 20.0, restarted=True, lost=False)]
    assert [guest.sid for guest in page.away(replace(CASE, guests=silent))] == ["vm:200"]
    assert page.away(replace(CASE, kind="replace-node", guests=silent)) == []
    assert page.away(replace(CASE, kind="power", guests=silent)) == []


def test_the_page_says_how_many_cases_there_would_be_and_which_commits_ran() -> None:
    shown = page.text(
        [[replace(CASE, tree="abc1234"), replace(CASE, number=2, tree="def5678"), replace(CASE, number=3)]]
    )
    assert "| cases | 21 | 3 |" in shown
    assert "On a machine; commits abc1234, def5678." in shown
    assert "On a machine; commit abc1234." in page.text([[replace(CASE, tree="abc1234")]])
    assert "On a machine." in page.text([[CASE]])
    assert "On a machine; then on another." in page.text([[CASE, replace(CASE, machine="another"), CASE]])
    assert "| cases | 45 | 1 |" in page.text([[replace(CASE, part="kills")]])


def test_what_was_done_again_counts_as_the_last_try_and_is_told_beside() -> None:
    lost = replace(CASE, number=2, runs=0, failures=[world.failure("up", Run(1, MESSAGE))], tree="abc1234")
    for case in (CASE, lost, replace(CASE, number=2, tree="def5678")):
        results.keep(case)
    assert results.read("changes", 1) == [CASE, replace(CASE, number=2, tree="def5678")]
    assert results.mended("changes", 1) == [lost]
    shown = page.text([results.read("changes", 1)], results.mended("changes", 1))
    assert "Open bugs" not in shown
    assert (
        "- 2, proxmox06 is added: **up: link-last** (commit abc1234)"
        in shown.partition("### Done again after a mend")[2]
    )
    assert "Done again" not in page.text([[CASE]], [replace(lost, seed=2)])


@pytest.mark.parametrize(
    ("change", "well"),
    [
        ({}, True),
        ({"runs": 0}, False),
        ({"runs": 2, "failures": [Failure("up, hit", ["x"], "next: y", has_next=True)]}, True),
        ({"failures": [Failure("up, hit", [], "mute", has_next=False)]}, False),
        ({"guests": [Guest("vm:200", 60.0, restarted=False, lost=True)]}, False),
        ({"foreign": ["a VM"]}, False),
    ],
)
def test_a_case_went_well(change: dict[str, Any], *, well: bool) -> None:
    assert results.well(replace(CASE, **change)) is well
