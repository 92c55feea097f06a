"""Changes of a live cluster, one after another: each is described, `make up` brings it about, and all is looked at from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli.console import out, stage
from tools.campaign import changes, guests, results, world
from tools.campaign.results import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.campaign.changes import Change, File
    from tools.campaign.world import World

PART = "changes"
COUNT = 20
RUNS_MAX = 2  # of `make up`, until a case counts as not converged
DOWN = "down"
DOWN_AFTER = 1000  # its number comes after that of every change


def campaign(dev: File, seed: int, count: int, *, until: float | None = None) -> None:
    """Do the cases that are still to be done; a case that does not converge is followed by a fresh lab.

    Args:
        dev: the file that is shipped.
        seed: decides what is changed.
        count: how many changes.
        until: no case begins after that moment, in seconds since 1970.

    Raises:
        BrokenLabError: the lab does not start.
    """
    whole = changes.sequence(dev, seed, count)
    while (left := remaining(whole, seed)) is not None and not over(until):
        before = whole[-len(left) - 1].made.file if len(left) < len(whole) else changes.start(dev)
        with world.fresh() as lab:
            with stage(f"A lab with {len(before['nodes'])} nodes"):
                lab.begin(before)
            _go_through(lab, before, left, seed, until)


def over(until: float | None) -> bool:
    """Whether no further case is to begin."""
    return until is not None and time.time() >= until


def remaining(whole: Sequence[Change], seed: int) -> list[Change] | None:
    """The changes that are still to be done; None where even the stack was destroyed at the end."""
    done = results.read(PART, seed)
    numbers = {case.number for case in done}
    if DOWN_AFTER + len(whole) in numbers:
        return None
    return [change for change in whole if change.number not in numbers]


def _go_through(lab: World, before: File, left: Sequence[Change], seed: int, until: float | None) -> None:
    last = left[0].number - 1 if left else number_of_last(seed)
    for change in left:
        if over(until):
            break
        with stage(f"{change.number}: {change.made.words}"):
            case = changed(lab, before, change, seed)
            results.keep(case)
            tell(case)
        before, last = change.made.file, change.number
        if not case.runs:
            return
    with stage("Everything is destroyed"):
        case = destroyed(lab, before, seed, DOWN_AFTER + last)
        results.keep(case)
        tell(case)


def number_of_last(seed: int) -> int:
    """The number of the last change that is written down."""
    return max((case.number for case in results.read(PART, seed) if case.number < DOWN_AFTER), default=0)


def changed(lab: World, before: File, change: Change, seed: int) -> Case:
    """One change."""
    after = change.made.file
    going_on = [sid for sid in changes.guests(before) if sid in set(changes.guests(after))]
    began = time.monotonic()
    with guests.Watch(lab.identity) as watch:
        for name in change.made.destroyed:
            lab.destroy(before, name)
        lab.project.configure(after)
        runs, failures = lab.converge(RUNS_MAX)
        took = time.monotonic() - began
        failures += lab.looks() if runs else []
    return Case(
        PART,
        seed,
        change.number,
        change.kind,
        change.made.words,
        world.today(),
        world.here(),
        round(took, 1),
        runs,
        failures,
        world.seen(watch, going_on, lab.identity),
        lab.foreign(after),
        lab.tree,
    )


def destroyed(lab: World, file: File, seed: int, number: int) -> Case:
    """The last case: `make down`, after which the outer host is as it was found."""
    began = time.monotonic()
    lab.withdraw(file)
    runs, failures = lab.converge(RUNS_MAX, DOWN)
    took = round(time.monotonic() - began, 1)
    touched = lab.difference() if runs else []
    words, tree = "everything is destroyed", lab.tree
    return Case(PART, seed, number, DOWN, words, world.today(), world.here(), took, runs, failures, [], touched, tree)


def tell(case: Case) -> None:
    """Show a case on the terminal."""
    how = f"converged after {case.runs} run{'s' if case.runs > 1 else ''}" if case.runs else "NOT CONVERGED"
    out.print(f"  {how}, {case.seconds:g} s", markup=False)
    for failure in case.failures:
        out.print(f"  failed: {failure.command} {', '.join(failure.codes)}\n{failure.text[-600:]}", markup=False)
    for guest in case.guests:
        words = [f"{guest.sid}: not seen for {guest.silence_s:g} s"]
        words += ["restarted"] if guest.restarted else []
        words += ["LOST"] if guest.lost else []
        if guest.silence_s > results.SILENT_S or len(words) > 1:
            out.print(f"  {', '.join(words)}", markup=False)
    for touched in case.foreign:
        out.print(f"  touched: {touched}", markup=False)
