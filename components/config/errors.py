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
        return f"{self.path}: {self.message}\n    fix: {self.fix}"


class ConfigError(Exception):
    """The configuration cannot be used; carries every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"error[config-invalid]: {count} in the configuration\n{lines}")
