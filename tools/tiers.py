"""`make test`: all tiers, each announced with the time it takes, and one table of them at the end.

    python -m tools.tiers MAKE-PROCESS MAKE…

A tier is a goal of the Makefile. The first that fails is the last that runs, and the exit code is its make's. pytest
leaves what it counted in the directory that the goals get as JUNIT.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from tools import attended

# Each after the one before, with its minutes on two cores when the toolchain is built. What stands in one line runs side by
# side: labs wait for nodes that restart, and leave of the processors what other labs or the toolchain's tests need.
ROUNDS: tuple[dict[str, int], ...] = (
    {"lint": 1},
    {"go-test": 1},
    {"unit": 5},
    {"test-standins": 15, "test-worlds": 9},
    {"test-job": 26, "test-toolchain": 19},
    {"test-changes": 19},
)
JUNIT = Path(".nested-pve/tests")
SIDE_BY_SIDE = ("--jobs=2", "--output-sync=target")


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


def rows_of(goals: dict[str, int], code: int, seconds: float) -> list[Row]:
    """How the tiers of a round ended.

    Args:
        goals: those that ran side by side.
        code: the exit code of their make.
        seconds: how long it took.
    """
    found = {goal: counted(JUNIT / f"{goal}.xml") for goal in goals}
    at_fault = {goal for goal, one in found.items() if one is None or one.failed} if code else set()
    # One that was interrupted has counted no failure.
    at_fault = at_fault or (set(goals) if code else set())
    return [
        Row(goal, "failed" if goal in at_fault else "passed", one, one.seconds if one else seconds)
        for goal, one in found.items()
    ]


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


def announced(number: int, goals: dict[str, int]) -> str:
    """What comes now, and how long it will take."""
    tiers = sum(map(len, ROUNDS))
    each = [
        f"tier {number + n} of {tiers}: make {goal}, about {minutes} min"
        for n, (goal, minutes) in enumerate(goals.items())
    ]
    return "\n".join(each) + ("\nside by side: each is shown when it has ended" if len(each) > 1 else "")


def main(caller: int, make: list[str]) -> int:
    """Run all tiers; the exit code of the first that failed."""
    out = Console(highlight=False)
    shutil.rmtree(JUNIT, ignore_errors=True)
    JUNIT.mkdir(parents=True, exist_ok=True)  # where it is root's, of a run before, that one's files stay
    out.print(f"\nAll tiers: about {sum(max(goals.values()) for goals in ROUNDS)} min on two cores")
    rows: list[Row] = []
    code = 0
    for goals in ROUNDS:
        if code:
            rows += [Row(goal, "did not run") for goal in goals]
            continue
        out.print(f"\n{announced(len(rows) + 1, goals)}", soft_wrap=True)
        started = time.monotonic()
        side_by_side = SIDE_BY_SIDE if len(goals) > 1 else ()
        code = attended.run([*make, *side_by_side, f"JUNIT={JUNIT}", *goals], caller=caller)
        rows += rows_of(goals, code, time.monotonic() - started)
    shutil.rmtree(JUNIT / "saves", ignore_errors=True)  # of labs: hundreds of megabytes that only these tiers share
    out.print()
    out.print(table(rows))
    return code


if __name__ == "__main__":
    attended.end(main(int(sys.argv[1]), sys.argv[2:]))
