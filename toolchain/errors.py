"""Refusals of the toolchain, each with a stable code and the way out."""

from __future__ import annotations


class ToolchainError(Exception):
    """What stopped the toolchain, and the one command or setting that resolves it.

    Attributes:
        code: Stable, kebab-case; indexes docs/recovery.md.
        observed: What was seen, as the tool printed it.
        expected: What would have let the work go on.
        remedy: The command or setting that resolves it.
    """

    def __init__(self, code: str, summary: str, *, observed: str, expected: str, remedy: str) -> None:
        super().__init__(f"error[{code}]: {summary}")
        self.code = code
        self.observed = observed
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        """The text that a user sees."""
        return f"{self.args[0]}\n  observed: {self.observed}\n  expected: {self.expected}\n  next: {self.remedy}"
