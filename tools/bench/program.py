"""A project directory with a stack, on the control machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.bench.timing import Command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Program:
    """A project directory with a stack."""

    directory: Path
    stack: str
    environment: Mapping[str, str]

    def pulumi(self, *words: str) -> Command:
        """The engine's command line for this stack."""
        options = ("--stack", self.stack, "--non-interactive", "--color", "never")
        return Command(("pulumi", *words, *options), self.directory, self.environment)

    def admin(self, *words: str) -> Command:
        """What `make` runs."""
        return Command((sys.executable, "-m", "cli", *words, "--stack", self.stack), self.directory, self.environment)

    def create(self) -> None:
        """Make the stack."""
        self.pulumi("stack", "init", "--no-select").seconds()
