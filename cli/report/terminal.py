"""What changes in the design, for the person who is about to say yes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.report import fate
from cli.report.known import Mark
from cli.report.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.report.fate import Known
    from cli.report.plan import Plan


def lines(plan: Plan, seen: Known) -> Iterator[str]:
    """One line for each change; nothing when nothing is recorded that it could differ from."""
    for change in fate.told(Report("", plan, plan.recorded, "").changes, plan.recorded, seen):
        told = f"{change.place}: {change.text}" + (f" ({change.effect})" if change.effect else "")
        yield f"! {change.mark.value}: {told}" if change.mark is not Mark.NONE else f"  {told}"
