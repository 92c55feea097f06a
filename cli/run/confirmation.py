"""Questions to the person who runs a command."""

from __future__ import annotations

import sys

from cluster.errors import AdminError


def confirm(question: str) -> None:
    """Ask on the terminal.

    Raises:
        AdminError: not-confirmed.
    """
    import typer  # noqa: PLC0415 - only here, and only for people

    if not sys.stdin.isatty():
        raise AdminError("not-confirmed", "nobody is there to ask", observed="no terminal", expected="--yes")
    if not typer.confirm(question, err=True):
        raise AdminError("not-confirmed", "the answer was no", observed="n", expected="y")
