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

    _refuse_alone()
    if not typer.confirm(question, err=True):
        raise AdminError("not-confirmed", "the answer was no", observed="n", expected="y")


def confirm_by_name(question: str, name: str) -> None:
    """Ask on the terminal for what must not be said by mistake: the answer is a name.

    Raises:
        AdminError: not-confirmed.
    """
    import typer  # noqa: PLC0415 - as above

    _refuse_alone()
    answer = typer.prompt(f"{question} Then type its name", default="", show_default=False, err=True)
    if answer.strip() != name:
        raise AdminError("not-confirmed", "the answer was another one", observed=answer, expected=name)


def _refuse_alone() -> None:
    if not sys.stdin.isatty():
        raise AdminError("not-confirmed", "nobody is there to ask", observed="no terminal", expected="--yes")
