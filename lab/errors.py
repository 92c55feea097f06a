"""The lab's refusals."""

from __future__ import annotations


class LabError(Exception):
    """A refusal with a stable code, what was observed, what was expected, and what to do next."""

    def __init__(self, code: str, message: str, *, observed: str = "", expected: str = "", next_step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.observed = observed
        self.expected = expected
        self.next_step = next_step

    @property
    def details(self) -> dict[str, str]:
        """All but its name and its message, as `__init__` takes it."""
        return {"observed": self.observed, "expected": self.expected, "next_step": self.next_step}

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.args[0]}"]
        for label, text in (("observed", self.observed), ("expected", self.expected), ("next", self.next_step)):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)
