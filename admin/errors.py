"""Refusals and failures as users see them: a stable code, what was seen, what was expected, what to do next."""

from __future__ import annotations


class AdminError(Exception):
    """A named failure. `code` is one of :data:`CODES`, the index of docs/recovery.md."""

    def __init__(self, code: str, happened: str, *, observed: str, expected: str, next_step: str) -> None:
        super().__init__(happened)
        self.code = code
        self.happened = happened
        self.observed = observed
        self.expected = expected
        self.next_step = next_step

    def __str__(self) -> str:
        return (
            f"error[{self.code}]: {self.happened}\n"
            f"  observed: {self.observed}\n"
            f"  expected: {self.expected}\n"
            f"  next: {self.next_step}"
        )
