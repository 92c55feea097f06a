"""Shows on the terminal, or as plain lines in a log, how far a build is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from toolchain.parts import Part

DOWNLOAD = "go: downloading "


class BuildProgress:
    """One line per part: the stage, how many packages are compiled, the one at work, and the part's own time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[current]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[Part, TaskID] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish_latest()
        self._bars.stop()

    def stage(self, part: Part, stage: str, packages: int) -> None:
        """A stage begins in which that many packages are compiled."""
        if part not in self._tasks:
            self._finish_latest()
            self._tasks[part] = self._bars.add_task("", total=None, current="")
        description = f"{part.name} {part.version}: {stage}"
        self._bars.update(self._tasks[part], description=description, total=packages or None, completed=0, current="")
        if not self._console.is_terminal:
            size = f", {packages} to compile" if packages else ""
            elapsed = time.monotonic() - self._started
            self._console.print(f"[{elapsed:4.0f} s] {description}{size}", highlight=False, markup=False)

    def line(self, line: str) -> None:
        """Go names a package that it compiled, or a module that it downloads."""
        latest = self._bars.tasks[-1].id
        if line.startswith(DOWNLOAD):
            self._bars.update(latest, current=line.removeprefix(DOWNLOAD))
        elif line and not line.startswith(("#", "\t", "go: ")):
            self._bars.update(latest, advance=1, current=line)

    def _finish_latest(self) -> None:
        for part, task in list(self._tasks.items())[-1:]:
            self._bars.update(task, description=f"{part.name} {part.version}", total=1, completed=1, current="")
