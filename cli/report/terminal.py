"""What changes in the design, for the person who is about to say yes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.report import fate
from cli.report.known import Mark
from cli.report.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.report.changes import Change
    from cli.report.fate import Evidence
    from cli.report.plan import Plan
    from cli.report.way import Way


def changes(plan: Plan, known: Evidence, live: Way | None = None) -> list[Change]:
    """The changes, with what becomes of guests; of a stack of which no design is recorded, only what is lost."""
    return fate.with_fates(_report(plan, live).changes, plan.recorded, known)


def line(change: Change) -> str:
    """One change."""
    return f"! {change.mark.value}: {change.sentence}" if change.mark is not Mark.NONE else f"  {change.sentence}"


def differences(found: Sequence[str], *, acting: bool) -> list[str]:
    """What the live cluster has otherwise than it is recorded.

    Args:
        found: a sentence for each.
        acting: a step of the plan looks at the cluster, and goes on from there.
    """
    title = "  the live cluster is not as recorded, and the run begins with what it shows:"
    if not acting:
        title = "  the live cluster is not as recorded; no step of this plan looks at that, and `make up` leaves it:"
    return [title, *(f"    {one}" for one in found)] if found else []


def transitions(plan: Plan, live: Way | None = None) -> list[str]:
    """What a running cluster goes through, in this order."""
    return list(_report(plan, live).way.steps)


def steps(plan: Plan, live: Way | None = None) -> list[str]:
    """What a running cluster goes through, a line for each transition, and advice on that."""
    way = _report(plan, live).way
    numbered = [f"    {number}. {step}" for number, step in enumerate(way.steps, 1)]
    title = ["  in the cluster, one after another:"] if numbered else []
    return [*title, *numbered, *(f"    advice: {line}" for line in way.advice)]


def _report(plan: Plan, live: Way | None) -> Report:
    return Report("", plan, plan.recorded, "", live_way=live)
