"""What changes in the design, for the person who is about to say yes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.report import fate
from cli.report.known import Mark
from cli.report.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.report.fate import Evidence
    from cli.report.plan import Plan


def lines(plan: Plan, known: Evidence) -> Iterator[str]:
    """One line for each change; none, if no design is recorded to compare with."""
    for change in fate.with_fates(Report("", plan, plan.recorded, "").changes, plan.recorded, known):
        text = f"{change.place}: {change.text}" + (f" ({change.effect})" if change.effect else "")
        yield f"! {change.mark.value}: {text}" if change.mark is not Mark.NONE else f"  {text}"
