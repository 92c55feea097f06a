"""A copy of the project, a lab of its own and a Pulumi state of its own, in a directory that is removed afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tools.bench import yardsticks
from tools.bench.errors import BenchError
from tools.bench.many_nodes import with_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.invoker import Invoker

ROOT = Path(__file__).resolve().parents[2]
STACK = "dev"
MANY, MANY_NODES = "many", 16
EMPTY = "empty"
IDLE_PACK = "idle"
IDLE_PROJECT = "runtime:\n  name: python\n  options:\n    virtualenv: ../.venv\nversion: 0.0.1\n"
IDLE_PROGRAM = """\
from pulumi_policy import PolicyPack, ResourceValidationPolicy

PolicyPack("idle", [ResourceValidationPolicy("idle", "Judges nothing.", lambda args, report: None)])
"""
EMPTY_PROJECT = "name: empty\nruntime:\n  name: python\n  options:\n    virtualenv: .venv\n"
# What the person who measures has set must not lead to another state or another key.
FOREIGN = ("SSH_AUTH_SOCK", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
PHASE_LIMIT_S = 3600
COPY_S = 120


@dataclass(frozen=True)
class Workspace:
    """The directory: `project`, `empty` (a program that does nothing, with a policy pack that judges nothing) and `lab`."""

    directory: Path

    @property
    def project(self) -> Path:
        """The copy."""
        return self.directory / "project"

    def lab(self, *words: str, shown: bool = True, given: str = "") -> str:
        """Run `python -m lab …` with this standard input; returns what it printed on standard output.

        Raises:
            BenchError: it failed.
        """
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=self.project,
            env={**kept, "NESTED_PVE_LAB_STATE": str(self.directory / "lab")},
            input=given,
            stdout=None if shown else subprocess.PIPE,
            text=True,
            timeout=PHASE_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"`lab {' '.join(words)}` failed with {done.returncode}")
        return done.stdout or ""

    def measure(self, phase: str, *options: str) -> str:
        """The figures of one phase of `tools.bench.inside`, as JSON.

        Raises:
            BenchError: there are none.
        """
        command = (".venv/bin/python", "-m", "tools.bench.inside", phase, *options)
        return self.lab("run", "--", *command, shown=False).splitlines()[-1]

    def forget(self) -> None:
        """Fresh machines and an empty state."""
        self.lab("reset")
        self._forget_state()

    def reshape(self, shape: str) -> None:
        """Another lab, with an empty state."""
        self.lab("down")
        self.lab("up", "--shape", shape)
        self._forget_state()

    def _forget_state(self) -> None:
        for place in (self.project / ".nested-pve" / "state").iterdir():
            shutil.rmtree(place)

    def fresh_nodes(self, times: int) -> Iterator[None]:
        """So many times, the lab with three existing, stand-alone nodes instead of the outer host."""
        for _ in range(times):
            self.lab("down")
            self.lab("up", "--shape", "physical")
            yield


@contextmanager
def prepared(owner: Invoker, shape: str = "default") -> Iterator[Workspace]:
    """A workspace with a running lab of that shape; nothing of it is left afterwards.

    Raises:
        BenchError: the lab does not start.
    """
    workspace = Workspace(Path(tempfile.mkdtemp(prefix="nested-pve-bench-")))
    try:
        _copy_project(workspace.project)
        _write_programs(workspace)
        # The lab's commands run as the person who called sudo.
        subprocess.run(["chown", "-R", f"{owner.uid}:{owner.gid}", workspace.directory], timeout=COPY_S, check=True)
        try:
            workspace.lab("up", "--shape", shape)
            yield workspace
        finally:
            workspace.lab("down")
    finally:
        shutil.rmtree(workspace.directory)


def _copy_project(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=COPY_S,
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    (target / ".nested-pve" / "state").mkdir(parents=True)
    (target / ".nested-pve" / "pulumi").symlink_to(ROOT / ".nested-pve" / "pulumi")


def _write_programs(workspace: Workspace) -> None:
    described = yaml.safe_load((workspace.project / f"Pulumi.{STACK}.yaml").read_text())
    many = with_nodes(described, MANY_NODES)
    (workspace.project / f"Pulumi.{MANY}.yaml").write_text(yaml.safe_dump(many, sort_keys=False))
    empty = workspace.directory / EMPTY
    empty.mkdir()
    (empty / "Pulumi.yaml").write_text(EMPTY_PROJECT)
    (empty / "__main__.py").touch()
    (empty / ".venv").symlink_to(ROOT / ".venv")
    idle = empty / IDLE_PACK
    idle.mkdir()
    (idle / "PulumiPolicy.yaml").write_text(IDLE_PROJECT)
    (idle / "__main__.py").write_text(IDLE_PROGRAM)
    yardsticks.write(workspace.directory, workspace.project)
