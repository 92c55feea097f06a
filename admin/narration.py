"""What people see while the engine works: one line per resource that changed, and what is going on at the moment."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from admin.failures import resource_name
from admin.outer_vms import VM_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin.engine import Event

# Words for operations; those that change nothing are not shown.
SIGNS = {
    "create": "+ create",
    "create-replacement": "± replace",
    "update": "~ update",
    "delete": "- delete",
    "delete-replaced": "- delete",
    "discard": "- forget",
    "import": "> import",
}
STEP_TYPES = ("command:local:", "command:remote:")
AT_START = {"cpu", "memory"}  # Proxmox keeps them pending while a machine runs
QUIET_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")
NAME_WIDTH = 34
MESSAGE_WIDTH = 70
RUNNING_SHOWN = 8

WIDTH_MIN = 100  # of what is not a terminal; rich would take 80

out = Console(highlight=False)
if not out.is_terminal:
    out.width = max(out.width, WIDTH_MIN)
err = Console(stderr=True, highlight=False)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say what begins, and how long it took; the same form as tools/attended.py."""
    started = time.monotonic()
    out.print(f"\n▸ {name}", markup=False)
    try:
        yield
    except BaseException:
        out.print(f"✗ {name} failed after {time.monotonic() - started:.1f} s", markup=False)
        raise
    out.print(f"✓ {name} ({time.monotonic() - started:.1f} s)", markup=False)


@dataclass
class _Running:
    name: str
    sign: str
    started: float
    said: str = ""


@dataclass
class Narrator:
    """Follows the engine's events; use as a context manager."""

    _running: dict[str, _Running] = field(default_factory=dict)
    _refreshed: int = 0
    _live: Live | None = None

    def __enter__(self) -> Self:
        if out.is_terminal:
            self._live = Live(get_renderable=self._now, console=out, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if begun := event.get("resourcePreEvent"):
            self._begin(begun["metadata"])
        elif ended := event.get("resOutputsEvent"):
            self._end(ended["metadata"], planning=bool(ended.get("planning")))
        elif failed := event.get("resOpFailedEvent"):
            self._fail(failed["metadata"])
        elif said := event.get("diagnosticEvent"):
            self._hear(said)

    def _begin(self, metadata: dict[str, Any]) -> None:
        if metadata["op"] == "refresh":
            self._refreshed += 1
        sign = SIGNS.get(metadata["op"])
        if sign is not None and _is_worth_a_line(metadata):
            self._running[metadata["urn"]] = _Running(resource_name(metadata["urn"]), sign, time.monotonic())

    def _end(self, metadata: dict[str, Any], *, planning: bool) -> None:
        running = self._running.pop(metadata["urn"], None)
        if running is None:
            return
        # What changes is worth saying before it is done; how long it took, afterwards.
        what = remark(metadata["type"], metadata.get("diffs") or []) if metadata["op"] == "update" else ""
        took = "" if planning else f"{time.monotonic() - running.started:6.1f} s"
        out.print(f"  {running.sign:10} {running.name:{NAME_WIDTH}} {took}  {what}".rstrip(), markup=False)

    def _fail(self, metadata: dict[str, Any]) -> None:
        running = self._running.pop(metadata["urn"], None)
        name = running.name if running else resource_name(metadata["urn"])
        took = f"{time.monotonic() - running.started:6.1f} s" if running else ""
        out.print(f"  ✗ failed   {name:{NAME_WIDTH}} {took}".rstrip(), markup=False)

    def _hear(self, diagnostic: dict[str, Any]) -> None:
        running = self._running.get(diagnostic.get("urn", ""))
        if running is not None and diagnostic.get("severity", "").startswith("info"):
            lines = diagnostic["message"].strip().splitlines()
            running.said = lines[-1] if lines else running.said

    def _now(self) -> Group:
        """The resources at work, those of longest standing first."""
        now = time.monotonic()
        rows = sorted(self._running.values(), key=lambda running: running.started)[:RUNNING_SHOWN]
        texts = [
            f"{running.name:{NAME_WIDTH}} {now - running.started:6.1f} s  {running.said[:MESSAGE_WIDTH]}"
            for running in rows
        ]
        return Group(*(Spinner("dots", Text(text)) for text in texts))


def remark(kind: str, differs: list[str]) -> str:
    """What an update does, where the names of what differs would mislead; pure."""
    if kind.startswith(STEP_TYPES) and differs == ["stdin"]:
        return "looks again, and changes only what is not as described"
    told = ", ".join(differs)
    if kind == VM_TYPE and AT_START & set(differs):
        return f"{told} (a running machine takes it when it is next stopped and started)"
    return told


def _is_worth_a_line(metadata: dict[str, Any]) -> bool:
    """Components only group, and providers only remember how to log in."""
    return bool(metadata.get("provider")) and not metadata["type"].startswith(QUIET_TYPES)


def summary(changes: dict[str, int]) -> str:
    """The changes in words: `3 created, 1 updated`, `0 changes`."""
    words = {
        "create": "created",
        "update": "updated",
        "delete": "deleted",
        "create-replacement": "replaced",
        "import": "imported",
    }
    told = [f"{count} {words[op]}" for op, count in changes.items() if op in words]
    return ", ".join(told) or "0 changes"
