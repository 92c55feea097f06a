"""What changes in the design, for the person who is about to say yes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.report import fate
from cli.report.known import Mark
from cli.report.report import Report

if TYPE_CHECKING:
    from cli.report.changes import Change
    from cli.report.fate import Evidence
    from cli.report.plan import Plan


def changes(plan: Plan, known: Evidence) -> list[Change]:
    """The changes, with what becomes of guests; of a stack of which no design is recorded, only what is lost."""
    return fate.with_fates(Report("", plan, plan.recorded, "").changes, plan.recorded, known)


def line(change: Change) -> str:
    """One change."""
    return f"! {change.mark.value}: {change.sentence}" if change.mark is not Mark.NONE else f"  {change.sentence}"


def transitions(plan: Plan) -> list[str]:
    """What a running cluster goes through, in this order."""
    return list(Report("", plan, plan.recorded, "").steps)


def steps(plan: Plan) -> list[str]:
    """What a running cluster goes through, a line for each transition."""
    found = transitions(plan)
    return (
        ["  in the cluster, one after another:", *(f"    {number}. {step}" for number, step in enumerate(found, 1))]
        if found
        else []
    )
