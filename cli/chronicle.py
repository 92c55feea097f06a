"""What a command does and sees while it runs, kept for the report that it leaves. Without a report, nothing is kept.

Whoever does or sees something enters it here, where it happens: no machine is asked for the report's sake.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cluster.drilling import Drill
    from config.model import Config
    from onnode.contract.membership import Membership
    from onnode.errors import StepError

    Seen = Mapping[str, Membership | StepError]  # by node, what it says of its cluster, or why it did not answer

Event = dict[str, Any]
PREVIEW = "preview"
NOTHING_DONE = ("same", "refresh", "read")  # operations of the engine


@dataclass(frozen=True)
class Stage:
    """A stage that has ended."""

    name: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True)
class Remark:
    """Something that was done or found.

    Attributes:
        where: the name of a machine or a guest, or `cluster`.
        what: what it is.
        more: what it means, or what comes next.
    """

    where: str
    what: str
    more: str = ""


@dataclass
class EngineRun:
    """A run of the engine, with the seconds from its start to each of its events.

    Attributes:
        operation: of `pulumi`.
        state: as it was exported last before.
    """

    operation: str
    state: Mapping[str, Any]
    events: list[tuple[float, Event]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def hear(self, event: Event) -> None:
        """Keep an event."""
        self.events.append((time.monotonic() - self.began, event))


@dataclass
class Chronicle:
    """Of one command.

    Attributes:
        began: seconds since 1970.
        config: what the stack file describes; None before it was read.
        secrets: texts that must not appear anywhere.
        environment: of the engine, which has secrets, too.
        state: as the engine exported it last, secrets encrypted.
        changes: of the design.
        transitions: of the live cluster, as planned.
        drifted: what was not as its resource made it.
        acts: what a rolling command or a drill did.
        drill: what a drill showed.
        before: what the first look at the nodes showed.
        after: what the last one showed; None when there was no second one.
    """

    began: float = field(default_factory=time.time)
    config: Config | None = None
    secrets: set[str] = field(default_factory=set)
    environment: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    runs: list[EngineRun] = field(default_factory=list)
    changes: list[Remark] = field(default_factory=list)
    transitions: list[str] = field(default_factory=list)
    drifted: list[Remark] = field(default_factory=list)
    acts: list[Remark] = field(default_factory=list)
    drill: Drill | None = None
    findings: list[Remark] = field(default_factory=list)
    passing: list[Remark] = field(default_factory=list)
    before: Seen | None = None
    after: Seen | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was done, and not only looked at."""
        begun = (event.get("resourcePreEvent") for run in self.runs for _, event in run.events)
        return bool(self.acts) or any(one["metadata"]["op"] not in NOTHING_DONE for one in begun if one)

    def run(self, operation: str) -> EngineRun:
        """A run of the engine begins; a preview does nothing, and is not kept."""
        begun = EngineRun(operation, self.state)
        if operation != PREVIEW:
            self.runs.append(begun)
        return begun

    def looked(self, seen: Seen) -> None:
        """Nodes were looked at."""
        if self.before is None:
            self.before = seen
        else:
            self.after = seen


_CURRENT: ContextVar[Chronicle | None] = ContextVar("chronicle", default=None)


def current() -> Chronicle:
    """The chronicle of the command that runs; one that nobody reads, where no report is to be left."""
    return _CURRENT.get() or Chronicle()


@contextmanager
def kept() -> Iterator[Chronicle]:
    """Keep one."""
    chronicle = Chronicle()
    token = _CURRENT.set(chronicle)
    try:
        yield chronicle
    finally:
        _CURRENT.reset(token)
