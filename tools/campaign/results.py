"""What a campaign found, a line of JSON for each case: written as soon as it is known, so that one that is cut off keeps it.

The lines are committed beside the page that is made from them, so that a campaign goes on on any machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from config.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = ROOT / "docs" / "campaign"
POWER = "power"  # the kind of a case in which a node lost its power
SILENT_S = 3.0  # a guest that is not seen for longer was away


@dataclass(frozen=True)
class Failure:
    """A command that failed.

    Attributes:
        command: of `make`.
        codes: the names of its errors.
        text: the end of what it said.
        has_next: it named a next step.
    """

    command: str
    codes: list[str]
    text: str
    has_next: bool


@dataclass(frozen=True)
class Guest:
    """A guest that was described before a case and after it.

    Attributes:
        sid: as HA calls it.
        silence_s: the longest time for which it was not seen.
        restarted: it was booted anew.
        lost: it did not run at the end.
    """

    sid: str
    silence_s: float
    restarted: bool
    lost: bool


@dataclass(frozen=True)
class Case:
    """One case of a campaign.

    Attributes:
        part: `changes` or `kills`.
        seed: of the campaign.
        number: its place in it.
        kind: what was done.
        words: the same for people.
        date: of the day.
        machine: on which it ran.
        seconds: until all was as described.
        runs: of `make up` that it took; 0 where it never converged.
        failures: the runs that failed, and looks that found something.
        guests: those that were to go on.
        foreign: what was touched and is somebody else's.
        tree: the commit that ran.
    """

    part: str
    seed: int
    number: int
    kind: str
    words: str
    date: str
    machine: str
    seconds: float
    runs: int
    failures: list[Failure] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    tree: str = ""


def keep(case: Case) -> None:
    """Write a case down."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with _file(case.part, case.seed).open("a") as lines:
        lines.write(json.dumps(asdict(case)) + "\n")


def read(part: str, seed: int) -> list[Case]:
    """The cases of a campaign so far, of one that was done again the last time."""
    return list({case.number: case for case in _all(part, seed)}.values())


def mended(part: str, seed: int) -> list[Case]:
    """Tries of cases that did not go well, and were not the last."""
    found = _all(part, seed)
    return [
        one
        for place, one in enumerate(found, 1)
        if not well(one) and one.number in {case.number for case in found[place:]}
    ]


def well(case: Case) -> bool:
    """Whether a case went as it has to. A run that was hit may fail, where it names a next step."""
    lost = any(guest.lost for guest in case.guests)
    return case.runs > 0 and not lost and not case.foreign and all(one.has_next for one in case.failures)


def _all(part: str, seed: int) -> list[Case]:
    """What is written down; a line that was cut off counts for nothing."""
    file = _file(part, seed)
    if not file.exists():
        return []
    found = []
    for line in file.read_text().splitlines():
        try:
            given = json.loads(line)
        except ValueError:
            continue
        given["failures"] = [Failure(**one) for one in given["failures"]]
        given["guests"] = [Guest(**one) for one in given["guests"]]
        found.append(Case(**given))
    return found


def _file(part: str, seed: int) -> Path:
    return DIRECTORY / f"{part}-{seed}.jsonl"
