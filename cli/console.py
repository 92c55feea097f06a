"""Where commands print: results and progress on standard output, notes on standard error."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from cli import chronicle
from onnode.errors import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH_MIN = 100  # of what is not a terminal; rich would take 80

out = Console(highlight=False)
if not out.is_terminal:
    out.width = max(out.width, WIDTH_MIN)
err = Console(stderr=True, highlight=False)


def line(text: str) -> str:
    """Words that may come from a machine, as one line that no terminal obeys."""
    return plain(text).replace("\n", " ")


def cell(text: str) -> str:
    """The same for the cell of a table, which would take brackets for markup."""
    return escape(line(text))


def red(text: str) -> str:
    """A cell that shows what is wrong."""
    return f"[red]{cell(text)}[/]"


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print when a stage begins, and how long it took; the same form as tools/attended.py."""
    started = time.monotonic()
    out.print(f"\n▸ {name}", markup=False)
    try:
        yield
    except BaseException:
        took = _ended(name, started, failed=True)
        out.print(f"✗ {name} failed after {took:.1f} s", markup=False)
        raise
    out.print(f"✓ {name} ({_ended(name, started):.1f} s)", markup=False)


def _ended(name: str, started: float, *, failed: bool = False) -> float:
    """Enter a stage in the chronicle; returns the seconds that it took."""
    took = time.monotonic() - started
    chronicle.current().stages.append(chronicle.Stage(name, took, failed))
    return took
