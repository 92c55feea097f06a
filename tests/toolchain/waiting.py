"""Waiting for a running engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.support.workspace import diagnostics, read_events

if TYPE_CHECKING:
    import subprocess

    from tests.support.workspace import Workspace

LIMIT = 150


def wait_for_message(workspace: Workspace, process: subprocess.Popen[str], text: str) -> None:
    """Wait until text is in the engine's log, which must be before the engine ends."""
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if any(text in message for _, message in diagnostics(read_events(workspace.events))):
            return
        time.sleep(0.1)
    raise AssertionError(f"not logged in time: {text}")
