"""How mistakes in the configuration are reported: all at once, each with its key and the fix."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WORD = re.compile(r"[^.\[\]]+")
_INDEX = re.compile(r"[0-9]{1,6}")  # what looks like one in a key can be of any length


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake.

    Attributes:
        path: the key in the stack file, "nodes[1].links[0]".
        message: what was found, and why it cannot be.
        fix: what to change.
        whose: the name of what the key belongs to, as numbers count from 0; empty where there is none.
    """

    path: str
    message: str
    fix: str
    whose: str = ""

    def __str__(self) -> str:
        whose = f" ({_line(self.whose, 70)})" if self.whose else ""
        return f"{_line(self.path, 80)}{whose}: {_line(self.message, 240)}\n    fix: {_line(self.fix, 220)}"

    def named(self, document: Mapping[str, Any]) -> Problem:
        """The same, with the names of the machine, guest or bridge on the way to the key, unless the message has them already.

        Args:
            document: the configuration as plain values, right or not.
        """
        names = [name for name in _names(self.path, document) if name not in self.message]
        return replace(self, whose=", ".join(names))


def _names(path: str, document: Any) -> Iterator[str]:  # noqa: ANN401 - any plain value
    """The names of the items of lists on the way to a key."""
    for word in _WORD.findall(path):
        if isinstance(document, dict):
            document = document.get(word)
        elif isinstance(document, list) and _INDEX.fullmatch(word) and int(word) < len(document):
            document = document[int(word)]
            name = document.get("name") if isinstance(document, dict) else None
            if name and isinstance(name, str):
                yield name
        else:
            return


MOST_TOLD = 35


class ConfigError(Exception):
    """The configuration cannot be used; carries every problem that was found, and shows the first of them.

    Args:
        problems: that were found.
        unexplained: how many more there are.
    """

    def __init__(self, problems: list[Problem], unexplained: int = 0) -> None:
        self.problems = problems
        total = len(problems) + unexplained
        count = f"{total} problem" + ("s" if total > 1 else "")
        lines = [f"  {problem}" for problem in problems[:MOST_TOLD]]
        if total > len(lines):
            lines.append(f"  and {total - len(lines)} more, which show when these are corrected")
        super().__init__("\n".join([f"error[config-invalid]: {count} in the configuration", *lines]))


def _line(text: str, most: int) -> str:
    """One line of a terminal; keys and values come from a file that anybody may have written."""
    printable = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: most + 1])
    short = printable.encode(errors="replace")[: most + 1]
    return printable if len(short) <= most else f"{short[: most - 3].decode(errors='ignore')}…"
