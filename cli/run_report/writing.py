"""The files of a report: written whole or not at all, for the person who ran the command and nobody else."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from config.paths import OWN
from tools.invoker import Invoker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DIRECTORY = OWN / "reports"
KEPT = 50  # of each stack
FORMATS = ("md", "json", "html")
PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def write(moment: str, stack: str, command: str, texts: Mapping[str, str]) -> Path:
    """Write a report, and remove the oldest of the stack's; returns the HTML file.

    Args:
        moment: when the run began: `2026-11-28T17:30:59Z`.
        stack: its stack.
        command: its command.
        texts: the contents, by format.

    Raises:
        OSError: why they cannot be written; what was begun is gone.
    """
    _make_directory()
    name = _free(f"{re.sub('[-:]', '', moment)}-{UNSAFE.sub('_', stack)}-{command}")
    written: list[Path] = []
    try:
        for format_ in FORMATS:
            written.append(DIRECTORY / f"{name}.{format_}")
            _write(written[-1], texts[format_])
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    _forget_oldest(stack)
    return DIRECTORY / f"{name}.html"


def _make_directory() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    # Never what a link leads to: under sudo that could be anything.
    descriptor = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, PRIVATE_DIRECTORY)
        _give_to_invoker(descriptor)
    finally:
        os.close(descriptor)


def _give_to_invoker(descriptor: int) -> None:
    """Under sudo, too, it belongs to the person who called."""
    if os.geteuid() == 0:
        person = Invoker.current()
        os.fchown(descriptor, person.uid, person.gid)


def _free(name: str) -> str:
    """Of two reports in the same second, the second one gets a number."""
    names = (name, *(f"{name}.{number}" for number in range(2, KEPT)))
    return next((one for one in names if not (DIRECTORY / f"{one}.html").exists()), names[-1])


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
            _give_to_invoker(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _forget_oldest(stack: str) -> None:
    own = re.compile(rf"\d{{8}}T\d{{6}}Z-{re.escape(UNSAFE.sub('_', stack))}-[a-z]+(?:\.\d+)?\.html")
    names = sorted(path.name.removesuffix(".html") for path in DIRECTORY.iterdir() if own.fullmatch(path.name))
    for name in names[:-KEPT]:
        for format_ in FORMATS:
            (DIRECTORY / f"{name}.{format_}").unlink(missing_ok=True)
