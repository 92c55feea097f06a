"""How mistakes in the configuration are told: all at once, each with its key and the fix."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake.

    Attributes:
        path: the key in the stack file, "nodes[1].links[0]".
        message: what was found, and why it cannot be.
        fix: what to change.
    """

    path: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{_line(self.path, 80)}: {_line(self.message, 240)}\n    fix: {_line(self.fix, 220)}"


MOST_TOLD = 35


class ConfigError(Exception):
    """The configuration cannot be used; carries every problem that was found, and tells the first of them.

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
