"""Shows on the terminal, or as plain lines in a log, how far a build is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from toolchain.parts import Part

DOWNLOAD = "go: downloading "


class BuildProgress:
    """One line per part: the stage, the packages compiled so far, and the time since the part began."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[current]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("toolchain", total=None, current="")
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, part: Part, stage: str, packages: int) -> None:
        """A stage begins in which that many packages are compiled."""
        description = f"{part.name} {part.version}: {stage}"
        self._bars.update(self._task, description=description, total=packages or None, completed=0, current="")
        if not self._console.is_terminal:
            size = f", {packages} packages" if packages else ""
            elapsed = time.monotonic() - self._started
            self._console.print(f"[{elapsed:4.0f} s] {description}{size}", highlight=False, markup=False)

    def line(self, line: str) -> None:
        """Go names a package that it compiled, or a module that it downloads."""
        if line.startswith(DOWNLOAD):
            self._bars.update(self._task, current=line.removeprefix(DOWNLOAD))
        elif line and not line.startswith(("#", "\t", "go: ")):
            self._bars.update(self._task, advance=1, current=line)
