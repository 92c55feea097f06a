"""Runs of two commands by turns, so that what else the machine does slows both."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.console import err
from tools.bench.errors import BenchError
from tools.bench.figures import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LIMIT_S = 900
SHOWN = 2000


@dataclass(frozen=True)
class Command:
    """A command with the directory and the environment that it needs."""

    words: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]

    def seconds(self) -> float:
        """How long it takes, in seconds.

        Raises:
            BenchError: it failed.
        """
        began = time.perf_counter()
        self.output()
        return time.perf_counter() - began

    def output(self) -> str:
        """What it prints.

        Raises:
            BenchError: it failed.
        """
        done = subprocess.run(
            self.words,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            said = f"{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}"
            raise BenchError(f"{' '.join(self.words)} failed with {done.returncode}:\n{said}")
        return done.stdout


def by_turns(commands: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Run all `rounds` times, A B A B; once each beforehand, which does not count: caches fill, the state is made."""
    runs = [[command() for command in commands] for _ in range(rounds + 1)]
    return [list(times) for times in zip(*runs[1:], strict=True)]


def pair(name: str, goal: float, empty: Command, measured: Command, rounds: int) -> Pair:
    """Measure a command against one of an empty program.

    Raises:
        BenchError: one of them failed.
    """
    first, second = by_turns([empty.seconds, measured.seconds], rounds)
    made = Pair(name=name, goal=goal, empty=first, measured=second)
    err.print(f"  {name}: {made.ratio:.2f} times an empty program", markup=False)
    return made
