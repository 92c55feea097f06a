"""`make test`: all tiers, each announced with the time it takes, and one table of them at the end.

    python -m tools.tiers MAKE-PROCESS MAKE…

A tier is a goal of the Makefile. The first that fails is the last that runs, and the exit code is its make's. pytest
leaves what it counted in the directory that the goals get as JUNIT.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from tools import attended

# A tier and its minutes on two cores when the toolchain is built, one after another in its lane.
Lane = dict[str, int]
# Each round after the one before, its lanes side by side: labs wait for nodes that restart, and leave of the processors what
# other labs or the toolchain's tests need.
ROUNDS: tuple[tuple[Lane, ...], ...] = (
    ({"lint": 1},),
    ({"go-test": 1},),
    ({"unit": 4},),
    (
        {"test-standins": 15, "test-job": 20, "test-changes": 17},
        {"test-worlds": 8, "test-libvirt": 6, "test-toolchain": 11},
    ),
)
JUNIT = Path(".nested-pve/tests")


@dataclass(frozen=True)
class Counted:
    """What pytest counted in a tier."""

    passed: int
    failed: int  # with errors of fixtures and of collection
    skipped: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """A tier in the table: how it ended, and what is known of it."""

    goal: str
    ended: str
    counted: Counted | None = None
    seconds: float | None = None


def counted(file: Path) -> Counted | None:
    """What a tier left; None where it left nothing, as without pytest or when it was killed."""
    try:
        suites = ET.parse(file).getroot().findall("testsuite")  # noqa: S314 - pytest wrote it
    except (OSError, ET.ParseError):
        return None
    tests, failures, errors, skipped = (sum(int(one.attrib[key]) for one in suites) for key in _COUNTS)
    failed = failures + errors
    return Counted(tests - failed - skipped, failed, skipped, sum(float(one.attrib["time"]) for one in suites))


_COUNTS = ("tests", "failures", "errors", "skipped")


def rows_of(lanes: tuple[Lane, ...], code: int, seconds: float) -> list[Row]:
    """How the tiers of a round ended.

    Args:
        lanes: what ran side by side.
        code: the exit code of their make.
        seconds: how long it took.
    """
    goals = [goal for lane in lanes for goal in lane]
    return [_row(goal, code, seconds, alone=len(goals) == 1) for goal in goals]


def _row(goal: str, code: int, seconds: float, *, alone: bool) -> Row:
    """By what the tier has left: pytest counts no failure in one that was interrupted, and a round fails with any of its tiers."""
    started, passed = ((JUNIT / f"{goal}.{ended}").exists() for ended in ("started", "passed"))
    if not (alone or started):
        return Row(goal, "did not run")
    found = counted(JUNIT / f"{goal}.xml")
    ended = "failed" if code and (alone or not passed) else "passed"
    return Row(goal, ended, found, found.seconds if found else seconds)


def options(lanes: tuple[Lane, ...]) -> list[str]:
    """What make is told, so that it runs lanes side by side and each one's tiers one after another."""
    if len(lanes) == 1:
        return []
    after = [f"--eval={then}: | {first}" for lane in lanes for first, then in itertools.pairwise(lane)]
    return [f"--jobs={len(lanes)}", "--output-sync=target", *after]


def table(rows: list[Row]) -> Table:
    """The tiers, for people."""
    shown = Table("tier", "", "passed", "failed", "skipped", "min:s", box=None, header_style="bold")
    for column in shown.columns[2:]:
        column.justify = "right"
    for row in rows:
        counts = (row.counted.passed, row.counted.failed, row.counted.skipped) if row.counted else ("-", "-", "-")
        took = "-" if row.seconds is None else f"{row.seconds // 60:.0f}:{row.seconds % 60:02.0f}"
        style = {"passed": "green", "failed": "red"}.get(row.ended)
        shown.add_row(f"make {row.goal}", row.ended, *map(str, counts), took, style=style)
    return shown


def announced(number: int, lanes: tuple[Lane, ...]) -> str:
    """What comes now, and how long it will take."""
    tiers = sum(len(lane) for one in ROUNDS for lane in one)
    goals = {goal: minutes for lane in lanes for goal, minutes in lane.items()}
    each = [
        f"tier {number + n} of {tiers}: make {goal}, about {minutes} min"
        for n, (goal, minutes) in enumerate(goals.items())
    ]
    how = f"{len(lanes)} at a time, each is shown when it has ended"
    return "\n".join([*each, how] if len(each) > 1 else each)


def main(caller: int, make: list[str]) -> int:
    """Run all tiers; the exit code of the first that failed."""
    out = Console(highlight=False)
    shutil.rmtree(JUNIT, ignore_errors=True)
    JUNIT.mkdir(parents=True, exist_ok=True)  # where it is root's, of a run before, that one's files stay
    minutes = sum(max(sum(lane.values()) for lane in lanes) for lanes in ROUNDS)
    drawn = f"; with {share} of the lab's stories it takes less" if (share := os.environ.get("STORIES")) else ""
    out.print(f"\nAll tiers: about {minutes} min on two cores{drawn}")
    rows: list[Row] = []
    code = 0
    for lanes in ROUNDS:
        goals = [goal for lane in lanes for goal in lane]
        if code:
            rows += [Row(goal, "did not run") for goal in goals]
            continue
        out.print(f"\n{announced(len(rows) + 1, lanes)}", soft_wrap=True)
        started = time.monotonic()
        code = attended.run([*make, *options(lanes), f"JUNIT={JUNIT}", *goals], caller=caller)
        rows += rows_of(lanes, code, time.monotonic() - started)
    shutil.rmtree(JUNIT / "saves", ignore_errors=True)  # of labs: hundreds of megabytes that only these tiers share
    out.print()
    out.print(table(rows))
    return code


if __name__ == "__main__":
    attended.end(main(int(sys.argv[1]), sys.argv[2:]))
