"""The report as Markdown, for a pull request's comment. Pure."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from cli.report import words
from cli.report.diagram import mermaid
from cli.report.known import Mark, risk
from cli.report.values import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.report.plan import Operation
    from cli.report.report import Report

LIMIT = 60_000  # characters; a comment holds 65536
DETAIL_LINES, ROWS, FAILURE_CHARACTERS = 400, 60, 8_000
SIGNS = {"create": "+", "delete": "-", "discard": "-"}
LEVELS = {"mandatory": "⛔ refused", "advisory": "advice"}
MARKUP = re.compile(r"[\\`*|~\[\]]|(?<!\w)_|_(?!\w)")
REFERENCE = re.compile(r"@|#(?=\d)")


def render(report: Report) -> str:
    """The whole comment; its first line identifies it. If it is too long for a comment, the last parts are left out."""
    parts = [[f"<!-- nested-pve-ha:{report.stack} -->", *_head(report), *_first(report), *_failures(report)]]
    if not report.is_gone:
        parts += [
            [*_changes(report), *_steps(report), *_policies(report)],
            [*_topology(report)],
            [*_operations(report)],
            [*_details(report)],
        ]
    order = (0, 1, 3, 2, 4)  # as they are read; they are left out from the last part on
    for count in range(len(parts), 0, -1):
        kept = [line for index in order[: len(parts)] if index < count for line in parts[index]]
        text = "\n".join(kept).rstrip() + "\n"
        if len(text) <= LIMIT:
            return text + ("" if count == len(parts) else "\nThe rest is too long for a comment: see `make preview`.\n")
    return text[: text.rindex("\n", 0, LIMIT)] + "\n"


def _head(report: Report) -> Iterator[str]:
    refusals = report.refusals
    if report.is_gone:
        verdict = "⚠️ **The stack file is deleted.**"
    elif refusals:
        verdict = f"⛔ **`make up` would refuse this**: {'; '.join(map(_text, refusals))}."
    elif report.risks:
        verdict = f"⚠️ **`make up` would do this. Look at the risks.** {_much(report)}."
    elif not report.changes and not (report.applied and report.plan.counted):
        verdict = "✅ **Nothing changes.**" if report.applied else "✅ **The design is the same as before.**"
    else:
        verdict = f"✅ **`make up` would do this.** {_much(report)}."
    yield f"## Stack `{report.stack}`\n\n{verdict}\n\n{report.basis}\n"


def _much(report: Report) -> str:
    if report.applied and report.plan.counted:
        return f"Resources: {report.plan.counted}"
    count = len(report.changes)
    return f"{count} {'change' if count == 1 else 'changes'} in the design"


def _first(report: Report) -> Iterator[str]:
    if report.risks:
        yield "### ⚠️ Look at this first\n"
        for change in report.risks:
            text = _text("; ".join(filter(None, (change.text, change.effect))))
            yield f"- **{_text(change.place)}** {risk(change.place, change.mark)}: {text}"
        yield ""


def _failures(report: Report) -> Iterator[str]:
    errors = [*report.problems, *report.plan.errors]
    if errors:
        text = "\n".join(dict.fromkeys(errors)).replace("```", "'''")
        text = text if len(text) <= FAILURE_CHARACTERS else f"{text[:FAILURE_CHARACTERS]}\n…"
        yield f"### What failed\n\n```text\n{text}\n```\n"


def _changes(report: Report) -> Iterator[str]:
    if not report.changes:
        return
    yield "### What changes in the design\n\n| where | what | on a running cluster | |\n|---|---|---|---|"
    for change in report.changes[:ROWS]:
        sign = "" if change.mark is Mark.NONE else "⛔ " if change.mark is Mark.REFUSED else "⚠️ "
        cells = " | ".join(map(_text, (change.place, change.text, change.effect)))
        yield f"| {cells} | {sign}{risk(change.place, change.mark)} |"
    yield from _more(len(report.changes))


def _steps(report: Report) -> Iterator[str]:
    if report.way.steps and not report.refusals:
        yield "### What the cluster goes through, one after another\n"
        yield from (f"{number}. {_text(step)}" for number, step in enumerate(report.way.steps, start=1))
        yield from ("", *(f"- advice: {_text(line)}" for line in report.way.advice)) if report.way.advice else ()
        yield "\n`make up` looks at all nodes, and plans again.\n"


def _more(count: int) -> Iterator[str]:
    yield ""
    if count > ROWS:
        yield f"… and {count - ROWS} more.\n"


def _operations(report: Report) -> Iterator[str]:
    groups = words.grouped(report.plan.operations)
    if groups and report.is_whole and not report.refusals:
        yield "### What would be done\n"
        yield from (f"- **{_text(place)}**: {_text('; '.join(sentences))}" for place, sentences in groups.items())
        yield ""


def _policies(report: Report) -> Iterator[str]:
    yield "### Policies\n"
    plan = report.plan
    rows = [(LEVELS.get(v.level, v.level), v.rule, v.message) for v in plan.verdicts]
    rows += [("put right", rule, f"{name}: see the rule for what it changes") for rule, name in plan.remedied]
    if rows:
        order = list(LEVELS.values())
        sorted_rows = dict.fromkeys(sorted(rows, key=lambda row: (row[0] not in order, row[0] != order[0])))
        yield "| | rule | what it says |\n|---|---|---|"
        yield from (f"| {level} | `{rule}` | {_text(message)} |" for level, rule, message in list(sorted_rows)[:ROWS])
        yield from _more(len(sorted_rows))
    else:
        yield "Every enabled rule passes.\n" if plan.designed else "No rule ran.\n"
    if set_rules := [f"`{level.rule}`: {_text(level.now)}" for level in report.levels if level.now]:
        yield f"Rules with other settings than shipped: {'; '.join(set_rules)}.\n"


def _topology(report: Report) -> Iterator[str]:
    if report.designed:
        places = {change.place for change in report.changes}
        yield f"### Topology\n\n```mermaid\n{mermaid(report.before, report.designed, places)}\n```\n"


def _details(report: Report) -> Iterator[str]:
    operations = report.plan.operations
    if not operations or not report.is_whole:
        return
    lines = [line for operation in operations for line in _detail(operation)]
    if len(lines) > DETAIL_LINES:
        lines = [*lines[:DETAIL_LINES], f"  … and {len(lines) - DETAIL_LINES} more lines: see make preview"]
    body = "\n".join(lines).replace("```", "'''")
    yield f"<details><summary>All resources that change ({len(operations)}), with groups and logins</summary>\n\n```diff\n{body}\n```\n\n</details>"


def _detail(operation: Operation) -> Iterator[str]:
    sign = SIGNS.get(operation.op, "!")
    # Types of components are names inside the program: readers would not take an existing machine for a NestedPveNode.
    component = words.PLACES.get(operation.type)
    what = component.format(operation.name) if component else f"{operation.type} {operation.name}"
    yield f"{sign} {operation.op} {what}"
    if operation.op in ("create", "delete"):
        return
    for differing in operation.differs:
        before, after = (_opened(inputs.get(differing)) for inputs in (operation.old, operation.new))
        yield from (f"    {line}" for line in differences(before, after, differing))


def _opened(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """A value; JSON in a text, as steps are given it, is read."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _text(text: str) -> str:
    """Text for a table's cell, without anything that a forge would read as markup, a mention or an issue."""
    escaped = MARKUP.sub(r"\\\g<0>", html.escape(" ".join(text.split()), quote=False))
    return REFERENCE.sub("\\g<0>\u200b", escaped)
