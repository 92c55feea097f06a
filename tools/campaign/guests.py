"""Whether guests run, seen from outside: in the lab each is a process on this machine. No node and no program is asked."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_S = 0.5
# The names under which the lab's guests run (lab/node/pvelab/guests).
TITLES = {"vm": re.compile(rb"/usr/bin/kvm -id (\d+) "), "ct": re.compile(rb"/usr/bin/lxc-start -F -n (\d+)")}
BOOTED = re.compile(rb"(?:^|\0)GUEST_BOOTED=([^\0]+)")  # since when a guest is up: a live migration does not change it


def running(lab: str) -> Iterator[tuple[str, str]]:
    """The guests that run in a lab, as HA calls them, each with the moment at which it was booted.

    Args:
        lab: its identity, which the control groups of its machines carry.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            title = (process / "cmdline").read_bytes()
            found = next(((kind, match) for kind, name in TITLES.items() if (match := name.match(title))), None)
            if found and lab in (process / "cgroup").read_text():
                booted = BOOTED.search((process / "environ").read_bytes())
                yield f"{found[0]}:{int(found[1][1])}", booted[1].decode() if booted else ""


class Watch(threading.Thread):
    """Looks every half second, between entering and leaving it."""

    def __init__(self, lab: str) -> None:
        super().__init__(daemon=True)
        self.lab = lab
        self.began = self.ended = 0.0
        self.seen: defaultdict[str, list[float]] = defaultdict(list)
        self.booted: defaultdict[str, set[str]] = defaultdict(set)
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self.ended = time.monotonic()

    def run(self) -> None:
        """Look until it is over."""
        while not self._over.is_set():
            for sid, booted in running(self.lab):
                self.seen[sid].append(time.monotonic())
                self.booted[sid].add(booted)
            self._over.wait(INTERVAL_S)

    def silence(self, sid: str) -> float:
        """The longest time for which a guest was not seen, in seconds."""
        return longest([self.began, *self.seen[sid], self.ended])

    def restarted(self, sid: str) -> bool:
        """Whether a guest was booted anew meanwhile."""
        return len(self.booted[sid]) > 1


def longest(moments: list[float]) -> float:
    """The longest time between two moments in a row."""
    return max(later - earlier for earlier, later in pairwise(moments))
