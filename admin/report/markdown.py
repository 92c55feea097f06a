"""The report as Markdown, for a pull request's comment and for a terminal. Pure."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from admin.report import words
from admin.report.changes import Change, Mark, changes
from admin.report.diagram import mermaid
from admin.report.plan import MANDATORY, Plan
from admin.report.values import differences
from components.nested_pve_node import TYPE as NESTED_PVE_NODE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from admin.report.plan import Operation

DETAIL_LINES = 400  # a comment holds 65536 characters
REPLACES = ("create-replacement", "delete")
SIGNS = {"create": "+", "delete": "-", "discard": "-"}
LEVELS = {"mandatory": "⛔ refused", "advisory": "advice"}


@dataclass(frozen=True)
class Report:
    """What there is to tell.

    Attributes:
        before: the design that is compared with; None when there is none.
        basis: in a sentence, what was compared with what.
        applied: whether the plan is what `up` would do; else it starts from nothing, and only its verdicts count.
        problems: mistakes in the configuration, for which there is no preview.
    """

    stack: str
    plan: Plan
    before: Mapping[str, Any] | None
    basis: str
    applied: bool = True
    problems: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the plan's operations are all that `up` would do: a failed preview ends at any of them."""
        failed = self.plan.errors or any(verdict.level == MANDATORY for verdict in self.plan.verdicts)
        return self.applied and not failed

    @property
    def changes(self) -> list[Change]:
        """What differs between the designs, and what replaces a node for other reasons."""
        new = self.plan.designed
        told = changes(self.before, new) if self.before and new else []
        places = {change.place for change in told if change.mark in (Mark.REPLACE, Mark.REFUSED)}
        replaced = [operation for operation in self.plan.operations if self.applied and _replaces_a_node(operation)]
        return told + [
            Change(place, "its VM is made anew or removed", "a member is lost with it", Mark.REPLACE)
            for operation in replaced
            if (place := f"node {operation.component[0]}") not in places
        ]

    @property
    def risks(self) -> list[Change]:
        """What `up` would do, and a reviewer must not overlook."""
        return [change for change in self.changes if change.mark not in (Mark.NONE, Mark.REFUSED)]

    @property
    def refusals(self) -> list[str]:
        """Why `up` would not do it; empty when it would."""
        rules = dict.fromkeys(verdict.rule for verdict in self.plan.verdicts if verdict.level == MANDATORY)
        refused = [f"rule {rule}" for rule in rules]
        refused += [f"{change.place}: {change.text}" for change in self.changes if change.mark is Mark.REFUSED]
        if self.problems:
            refused.append("the configuration is not right")
        elif self.plan.errors and not refused:
            refused.append("the preview failed")
        return refused


def render(report: Report) -> str:
    """The whole comment; its first line finds it again."""
    parts = [f"<!-- nested-pve-ha:{report.stack} -->", *_head(report), *_first(report), *_failures(report)]
    parts += [*_changes(report), *_operations(report), *_policies(report.plan), *_topology(report)]
    return "\n".join([*parts, *_details(report)]).rstrip() + "\n"


def _replaces_a_node(operation: Operation) -> bool:
    of_a_node = operation.component[1] == NESTED_PVE_NODE and operation.type.endswith(":VmLegacy")
    return of_a_node and operation.op in REPLACES


def _head(report: Report) -> Iterator[str]:
    refusals = report.refusals
    if refusals:
        verdict = f"⛔ **`make up` would refuse this**: {'; '.join(map(_text, refusals))}."
    elif not report.changes and not (report.applied and report.plan.counted):
        verdict = "✅ **Nothing changes.**"
    elif report.risks:
        verdict = f"⚠️ **Nothing stands in the way, so look at the risks.** {_much(report)}."
    else:
        verdict = f"✅ **Nothing stands in the way.** {_much(report)}."
    yield f"## Stack `{report.stack}`\n\n{verdict}\n\n{report.basis}\n"


def _much(report: Report) -> str:
    if report.applied:
        return f"Resources: {report.plan.counted}"
    count = len(report.changes)
    return f"{count} {'change' if count == 1 else 'changes'} in the design"


def _first(report: Report) -> Iterator[str]:
    if report.risks:
        yield "### ⚠️ Look at this first\n"
        for change in report.risks:
            told = _text("; ".join(filter(None, (change.text, change.effect))))
            yield f"- **{_text(change.place)}** {change.mark.value}: {told}"
        yield ""


def _failures(report: Report) -> Iterator[str]:
    said = [*report.problems, *report.plan.errors]
    if said:
        text = "\n".join(dict.fromkeys(said)).replace("```", "'''")
        yield f"### What failed\n\n```text\n{text}\n```\n"


def _changes(report: Report) -> Iterator[str]:
    if not report.changes:
        return
    yield "### What changes in the design\n\n| where | what | on a running cluster | |\n|---|---|---|---|"
    for change in report.changes:
        mark = f"⛔ {change.mark.value}" if change.mark is Mark.REFUSED else f"⚠️ {change.mark.value}"
        cells = (change.place, change.text, change.effect, mark if change.mark else "")
        yield f"| {' | '.join(map(_text, cells))} |"
    yield ""


def _operations(report: Report) -> Iterator[str]:
    groups = words.grouped(report.plan.operations)
    if groups and report.is_whole:
        yield "### What would be done\n"
        yield from (f"- **{_text(place)}**: {_text('; '.join(told))}" for place, told in groups.items())
        yield ""


def _policies(plan: Plan) -> Iterator[str]:
    yield "### Policies\n"
    rows = [(LEVELS.get(v.level, v.level), v.rule, v.message) for v in plan.verdicts]
    rows += [("put right", rule, f"{name}: see the rule for what it changes") for rule, name in plan.remedied]
    if not rows:
        judged = "every rule passes" if plan.designed else "nothing was judged"
        yield f"{judged[0].upper()}{judged[1:]}.\n"
        return
    yield "| | rule | what it says |\n|---|---|---|"
    order = list(LEVELS.values())
    for level, rule, message in dict.fromkeys(sorted(rows, key=lambda row: (row[0] not in order, row[0] != order[0]))):
        yield f"| {level} | `{rule}` | {_text(message)} |"
    yield ""


def _topology(report: Report) -> Iterator[str]:
    if report.plan.designed:
        places = {change.place for change in report.changes}
        yield f"### Topology\n\n```mermaid\n{mermaid(report.before, report.plan.designed, places)}\n```\n"


def _details(report: Report) -> Iterator[str]:
    operations = report.plan.operations
    if not operations or not report.is_whole:
        return
    lines = [line for operation in operations for line in _detail(operation)]
    if len(lines) > DETAIL_LINES:
        lines = [*lines[:DETAIL_LINES], f"  … and {len(lines) - DETAIL_LINES} more lines: see make preview"]
    body = "\n".join(lines).replace("```", "'''")
    yield f"<details><summary>Resources ({len(operations)})</summary>\n\n```diff\n{body}\n```\n\n</details>"


def _detail(operation: Operation) -> Iterator[str]:
    sign = SIGNS.get(operation.op, "!")
    yield f"{sign} {operation.op} {operation.type} {operation.name}"
    if operation.op in ("create", "delete"):
        return
    for differing in operation.differs:
        before, after = (_opened(inputs.get(differing)) for inputs in (operation.old, operation.new))
        yield from (f"    {line}" for line in differences(before, after, differing))


def _opened(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """A step's desired state is JSON in a text."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _text(text: str) -> str:
    """For a table's cell, with nothing in it that a forge would take for markup or a mention."""
    escaped = html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
    return escaped.replace("@", "@\u200b") if "`" not in escaped else escaped
