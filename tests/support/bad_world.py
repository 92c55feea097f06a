"""A project in a lab that tests spoil, and what every refusal has in common."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.lab_project import Run

BLOCK = re.compile(r"^error\[(?P<code>[a-z0-9-]+)\]: .*(?:\n[ \t]+\S.*)*", re.MULTILINE)


class BadWorld(LabProject):
    """What is described, and the secrets that `up` is given, can be changed for a while."""

    def __init__(self, directory: Path, lab_state: Path, stack: str) -> None:
        super().__init__(directory, lab_state, stack)
        self._secrets: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        """`arguments` on the control machine, with the secrets of the moment."""
        given = ("env", f"NESTED_PVE_CREDENTIALS={self._secrets}") if self._secrets else ()
        return super().command(*given, *arguments)

    @contextmanager
    def other_secrets(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """The lab's secrets, changed."""
        secrets = self.credentials()
        change(secrets)
        file = self.directory / ".nested-pve" / "other-secrets.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(secrets))
        self._secrets = file
        try:
            yield
        finally:
            self._secrets = None
            file.unlink()

    @contextmanager
    def described_otherwise(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """The stack file, changed."""
        before = self.stack_file.read_text()
        values = self.configuration()
        change(values)
        self.configure(values)
        try:
            yield
        finally:
            self.stack_file.write_text(before)

    @contextmanager
    def a_guard_that_waits_less(self) -> Iterator[None]:
        """The same undoing of a network's change after 25 s, for the test's time."""
        source = self.directory / "onnode" / "system" / "network_guard.py"
        text = source.read_text()
        source.write_text(text.replace("AFTER_S = 60", "AFTER_S = 25").replace("RELOAD_S = 45.0", "RELOAD_S = 20.0"))
        try:
            yield
        finally:
            source.write_text(text)


def refusal(run: Run, code: str) -> str:
    """The text of the error with that name; the run failed, said what to do next, and showed nobody's insides."""
    assert run.code == 1, run.output
    assert "Traceback" not in run.output, run.output
    found = {block["code"]: block[0] for block in BLOCK.finditer(run.output)}
    assert code in found, run.output
    assert "\n  next: " in found[code], run.output
    return found[code]


def succeeded(run: Run) -> Run:
    """The run, which ended well."""
    assert run.code == 0, run.output
    return run
