"""Files of this product's own on a machine: known by their first line, written only where nothing foreign is."""

from __future__ import annotations

from onnode.errors import StepError

MARK = "# Made by nested-pve-ha"
SHOWN = 60


def first_line(stack: str | None = None) -> str:
    """What a file of ours begins with; one that belongs to a stack names it."""
    return f"{MARK}{f' for stack {stack}' if stack else ''}."


def refuse_foreign(path: str, text: str | None, stack: str | None = None) -> None:
    """Refuse to write a file that is there and that we did not make.

    Raises:
        StepError: foreign-file.
    """
    if text is None:
        return
    found = text.partition("\n")[0]
    if found != first_line(stack):
        raise foreign(path, f"its first line is {found[:SHOWN]!r}", f"no such file, or one with {first_line(stack)!r}")


def foreign(path: str, observed: str, expected: str) -> StepError:
    """The refusal to take over a file."""
    return StepError(
        "foreign-file",
        f"{path} already exists, and this stack did not make it",
        observed=observed,
        expected=expected,
        fix=f"move {path} away on that machine, then run the same command again",
    )
