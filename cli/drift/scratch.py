"""A copy of the state for a preview: what a look found is shown as changes, and the real state stays as it is."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.engine.environment import BACKEND_VARIABLE, without_attributes
from config.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.drift.questions import State
    from cli.engine.engine import Engine

PARTS = (
    "Pulumi.yaml",
    "__main__.py",
    "config",
    "components",
    "cluster",
    "cli",
    "onnode",
    "policy",
    "toolchain",
    ".venv",
)


@contextmanager
def scratch(runner: Engine, state: State) -> Iterator[Engine]:
    """The program with this state in a directory of its own, removed afterwards; secrets stay encrypted."""
    with tempfile.TemporaryDirectory(prefix="nested-pve-look-") as name:
        directory = Path(name)
        for part in (*PARTS, *(file.name for file in ROOT.glob(f"Pulumi.{runner.stack}.*"))):
            (directory / part).symlink_to(ROOT / part)
        # `stack init` writes into the stack file.
        file = directory / f"Pulumi.{runner.stack}.yaml"
        text = file.read_text()
        file.unlink()
        file.write_text(text)
        environment = runner.environment | {BACKEND_VARIABLE: without_attributes(directory.as_uri())}
        copied = replace(runner, environment=environment, directory=directory)
        copied.create_stack()
        copied.import_state(state)
        yield copied
