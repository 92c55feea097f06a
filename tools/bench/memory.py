"""The memory of a run's processes, sampled while it goes on (Linux: /proc)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
INTERVAL_S = 0.5
KIB = 1024


@dataclass
class Peaks:
    """The highest values seen, in bytes."""

    largest: dict[str, int] = field(default_factory=dict)
    together: int = 0

    def add(self, processes: list[tuple[str, int, int]]) -> None:
        """Take in one look: name, highest resident size and share of the memory for each process."""
        for name, resident, _ in processes:
            self.largest[name] = max(resident, self.largest.get(name, 0))
        self.together = max(self.together, sum(share for _, _, share in processes))


@contextmanager
def sampled(root: int) -> Iterator[Peaks]:
    """Watch the descendants of a process, not itself, until the block ends."""
    peaks, ended = Peaks(), threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL_S):
            peaks.add([seen for pid in _descendants(root) if (seen := _look(pid))])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def process_name(arguments: list[str]) -> str:
    """A process as people know it: the program; for Python, what it runs."""
    program = Path(arguments[0]).name if arguments else ""
    if not program.startswith("python"):
        return program
    words = arguments[1:]
    while words and words[0].startswith("-") and words[0] != "-m":
        words = words[1:]
    if words[:1] == ["-m"]:
        return f"python -m {' '.join(words[1:2])}"
    return f"python {Path(words[0]).name}" if words else "python"


def in_bytes(text: str, key: str) -> int:
    """The value of a `Key:  123 kB` line; 0 when there is none."""
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * KIB
    return 0


def _descendants(root: int) -> list[int]:
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in (PROC / str(pid) / "task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:  # the thread has ended since
            continue
    return found


def _look(pid: int) -> tuple[str, int, int] | None:
    place = PROC / str(pid)
    try:
        words = (place / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        resident = in_bytes((place / "status").read_text(), "VmHWM")
        share = in_bytes((place / "smaps_rollup").read_text(), "Pss")
    except OSError:  # the process has ended since
        return None
    return process_name(words), resident, share
