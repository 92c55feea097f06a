"""What people see while the engine works: a line for each resource that changed, and what is being done now."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cli.console import out
from cli.engine.failures import resource_name
from cluster.call import LASTING
from components.recorded import GUEST, STEPS, TOLD, VM_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.engine.engine import Event

# Signs of operations; operations that change nothing are not shown.
SIGNS = {
    "create": "+ create",
    "create-replacement": "± replace",
    "update": "~ update",
    "delete": "- delete",
    "delete-replaced": "- old one",
    "discard": "- forget",
    "import": "> import",
}
# Signs of steps that ran without a change, and of steps that are planned in an adoption.
CHECKED, RECORDED, TO_CHECK = "✓ checked", "✓ recorded", "? check"
WORDS = {
    SIGNS["create"]: "created",
    SIGNS["create-replacement"]: "replaced",
    SIGNS["update"]: "updated",
    SIGNS["delete"]: "deleted",
    SIGNS["discard"]: "forgotten",
    SIGNS["import"]: "imported",
    CHECKED: "checked",
    RECORDED: "recorded",
    TO_CHECK: "checked",
}
AT_START = {"cpu", "memory"}  # Proxmox keeps them pending while a machine runs
QUIET_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")
NAME_WIDTH = 34
MESSAGE_WIDTH = 70
LOOKS_AGAIN = "looks again, and changes only what is not as described"
RUNNING_SHOWN = 8


@dataclass
class _Running:
    name: str
    started: float
    message: str = ""


@dataclass
class Narrator:
    """Follows the engine's events; use as a context manager.

    Attributes:
        adopting: existing things are recorded, so a planned step is shown as a check.
    """

    adopting: bool = False
    _running: dict[str, _Running] = field(default_factory=dict)
    _refreshed: int = 0
    _live: Live | None = None
    _looks: list[str] = field(default_factory=list)
    _refused: bool = False

    def __enter__(self) -> Self:
        if out.is_terminal:
            self._live = Live(get_renderable=self._now, console=out, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        # A rule may refuse at the end of a preview; in a plan that is refused, steps that only look again are no news.
        for line in () if self._refused else self._looks:
            out.print(line, markup=False, soft_wrap=True)
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if begun := event.get("resourcePreEvent"):
            self._begin(begun["metadata"])
        elif ended := event.get("resOutputsEvent"):
            self._end(ended["metadata"], planning=bool(ended.get("planning")))
        elif failed := event.get("resOpFailedEvent"):
            self._fail(failed["metadata"])
        elif diagnostic := event.get("diagnosticEvent"):
            self._hear(diagnostic)
        elif verdict := event.get("policyEvent"):
            self._refused |= verdict.get("enforcementLevel") == "mandatory"

    def _begin(self, metadata: dict[str, Any]) -> None:
        if metadata["op"] == "refresh":
            self._refreshed += 1
        if metadata["op"] in SIGNS and _is_worth_a_line(metadata):
            self._running[metadata["urn"]] = _Running(resource_name(metadata["urn"]), time.monotonic())

    def _end(self, metadata: dict[str, Any], *, planning: bool) -> None:
        running = self._running.pop(metadata["urn"], None)
        if running is None:
            return
        # A preview shows what changes; a run also shows how long it took.
        sign = sign_of(metadata, to_check=planning and self.adopting)
        what = (
            remark(metadata["type"], metadata.get("diffs") or [], _guest(metadata)) if sign == SIGNS["update"] else ""
        )
        took = "" if planning else f"{time.monotonic() - running.started:6.1f} s"
        line = f"  {sign:10} {running.name:{NAME_WIDTH}} {took}  {what}".rstrip()
        if planning and what == LOOKS_AGAIN:
            self._looks.append(line)
        else:
            out.print(line, markup=False, soft_wrap=True)

    def _fail(self, metadata: dict[str, Any]) -> None:
        running = self._running.pop(metadata["urn"], None)
        name = running.name if running else resource_name(metadata["urn"])
        took = f"{time.monotonic() - running.started:6.1f} s" if running else ""
        out.print(f"  ✗ failed   {name:{NAME_WIDTH}} {took}".rstrip(), markup=False)

    def _hear(self, diagnostic: dict[str, Any]) -> None:
        if not diagnostic.get("severity", "").startswith("info"):
            return
        lines = diagnostic["message"].strip().splitlines()
        for line in lines:
            if line.startswith(LASTING):
                out.print(f"  {line}", markup=False, soft_wrap=True)
        running = self._running.get(diagnostic.get("urn", ""))
        if running is not None and lines:
            running.message = lines[-1]

    def _now(self) -> Group:
        """The resources that are being worked on, the longest first."""
        now = time.monotonic()
        rows = sorted(self._running.values(), key=lambda running: running.started)[:RUNNING_SHOWN]
        texts = [
            f"{running.name:{NAME_WIDTH}} {now - running.started:6.1f} s  {running.message[:MESSAGE_WIDTH]}"
            for running in rows
        ]
        return Group(*(Spinner("dots", Text(text)) for text in texts))


def _guest(metadata: dict[str, Any]) -> str:
    """The name of a VM under HA there; empty for anything else."""
    new = metadata.get("new") or {}
    is_guest = f"{GUEST}::" in str(new.get("parent", ""))
    return f"vm:{int(new['inputs']['vmId'])}" if is_guest and "vmId" in (new.get("inputs") or {}) else ""


def remark(kind: str, differs: list[str], guest: str = "") -> str:
    """What an update does, in words, if the names of the changed properties would mislead; pure.

    Args:
        kind: the engine's type.
        differs: the names of the changed properties.
        guest: of a VM under HA, its name there.
    """
    if kind in STEPS and set(differs) <= {"stdin", TOLD}:
        return LOOKS_AGAIN
    names = ", ".join(differs)
    if kind == VM_TYPE and AT_START & set(differs):
        way = f": `ha-manager set {guest} --state stopped`, when it is stopped `--state started`" if guest else ""
        return f"{names} (takes effect when the machine is next stopped and started{way})"
    return names


def _is_worth_a_line(metadata: dict[str, Any]) -> bool:
    """Components only group, and providers only hold logins: they have no line."""
    return bool(metadata.get("provider")) and not metadata["type"].startswith(QUIET_TYPES)


def sign_of(metadata: dict[str, Any], *, to_check: bool = False) -> str:
    """The sign of what was done; pure.

    Args:
        metadata: of the engine's event.
        to_check: a step that would be created only looks at what is there.
    """
    sign = SIGNS[metadata["op"]]
    if metadata["type"] not in STEPS or metadata["op"] not in ("create", "update"):
        return sign
    state = metadata.get("new") or {}
    if not (state.get("inputs") or {}).get("create"):
        return RECORDED  # it does something only when it is deleted
    if to_check:
        return TO_CHECK if metadata["op"] == "create" else sign
    return CHECKED if _changed_nothing((state.get("outputs") or {}).get("stdout")) else sign


def _changed_nothing(stdout: object) -> bool:
    """Whether a step's last line reports that it changed nothing."""
    try:
        return json.loads(str(stdout).strip().splitlines()[-1])["changed"] is False
    except (ValueError, LookupError, TypeError):
        return False


def summary(events: Iterable[Event], *, to_check: bool = False) -> str:
    """The lines in numbers, `3 created, 1 updated` or `0 changes`, and the number of changes without a line; pure."""
    counted: Counter[str] = Counter()
    unseen = set()
    for event in events:
        begun = event.get("resourcePreEvent", {}).get("metadata", {})
        ended = event.get("resOutputsEvent", {}).get("metadata", {})
        if begun.get("op") in SIGNS and not _is_worth_a_line(begun):
            unseen.add(begun["urn"])
        if ended.get("op") in SIGNS and ended["op"] != "delete-replaced" and _is_worth_a_line(ended):
            counted[WORDS[sign_of(ended, to_check=to_check)]] += 1
    words = dict.fromkeys(WORDS.values())
    counts = ", ".join(f"{counted[word]} {word}" for word in words if counted[word]) or "0 changes"
    return f"{counts}; {len(unseen)} more only in the record (groups, logins, the design)" if unseen else counts
