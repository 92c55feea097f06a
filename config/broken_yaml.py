"""Where a file stops to be YAML: a parser sees that at the end of what was left open, people look where it begins."""

from __future__ import annotations

from typing import Protocol

import yaml

from config.errors import Problem


class _Mark(Protocol):
    """A place, as each of the library's parsers gives it."""

    line: int
    column: int


_QUOTED = "while scanning a quoted scalar"
_BRACKETS = {"while parsing a flow sequence": "[", "while parsing a flow mapping": "{"}
_CLOSE = "close the quote where the text ends"


def problem(error: yaml.YAMLError, last: yaml.Event | None, name: str) -> Problem:
    """The mistake in the words of this program.

    Args:
        error: of the parser.
        last: what it read before.
        name: of the file.
    """
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    if not (isinstance(error, yaml.MarkedYAMLError) and error.problem_mark):
        return Problem(name, f"is not valid YAML: {what}", "correct the YAML")
    if error.context == _QUOTED and error.context_mark:
        return Problem(
            f"{name}, {_at(error.context_mark)}", "is not valid YAML: the quote that opens here is never closed", _CLOSE
        )
    if last is not None and _is_quoted_lines(last) and _at(last.end_mark) == _at(error.problem_mark):
        message = f"is not valid YAML: the quote that opens here closes only at {_at(last.end_mark)}"
        return Problem(f"{name}, {_at(last.start_mark)}", message, _CLOSE)
    bracket = _BRACKETS.get(error.context or "")
    begun = f"; the {bracket} before it is in {_at(error.context_mark)}" if bracket and error.context_mark else ""
    return Problem(f"{name}, {_at(error.problem_mark)}", f"is not valid YAML: {what}{begun}", "correct the YAML")


def _is_quoted_lines(event: yaml.Event) -> bool:
    """Whether it is a text in quotes of more than one line."""
    if not isinstance(event, yaml.ScalarEvent) or event.style not in ("'", '"'):
        return False
    return bool(event.start_mark and event.end_mark and event.start_mark.line != event.end_mark.line)


def _at(mark: _Mark | None) -> str:
    """As editors count."""
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
