"""A stack that is deployed once in a run of tests: built by a real `up`, saved, and restored wherever tests begin with it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import outer_host
from tests.support.bad_world import succeeded
from tests.support.checkout import ROOT, tracked
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.support.lab_project import Run

SAVES = "saves"
SETTLE_S = 180


def saves_of_this_run(factory: pytest.TempPathFactory) -> Path:
    """Their directory, the same for all its processes: beside the counts of `make test`, which has several tiers."""
    if junit := os.environ.get("JUNIT"):
        return Path(junit).absolute() / SAVES
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / SAVES


def content() -> str:
    """A name for what is in the checkout: a save of what the program made before it was changed proves nothing."""
    digest = hashlib.sha256()
    for name in sorted(tracked()):
        digest.update(f"{name}\n".encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


class SavedLab:
    """A stack as `up` leaves it in a fresh lab."""

    def __init__(self, saves: Path, stack: str, *options: str) -> None:
        """Restored from `saves`, which may hold it already; `options` are those of `lab up`."""
        self.saves = saves
        self.stack = stack
        self.options = options
        self.name = f"{stack}-{content()}"

    @contextmanager
    def project(self, directory: Path) -> Iterator[LabProject]:
        """The deployed stack in a lab of its own below `directory`, which is gone afterwards."""
        project = LabProject(directory / "project", directory / "lab", self.stack)
        try:
            self.deploy(project)
            yield project
        finally:
            project.lab("down")

    def deploy(self, project: LabProject) -> None:
        """Give a project that has no lab the deployed stack; the first one of a run builds it."""
        with self._alone():
            if built := not self._found.exists():
                self._build(project)
        if not built:
            succeeded(self.restore(project))
        project.deployed = project.configuration()
        # Guests under HA start after the machines have booted.
        assert project.eventually(lambda: project.admin("status").code == 0, SETTLE_S), project.admin("status").output

    def deploy_anew(self, project: LabProject) -> None:
        """The same for a project that has destroyed its stack."""
        succeeded(project.lab("down"))
        self.deploy(project)

    def restore(self, project: LabProject) -> Run:
        """`lab restore` for a project that has no lab."""
        return project.lab("restore", self.name, "--directory", str(self.saves))

    def as_found(self) -> list[str]:
        """The outer host before anything was deployed on it; nothing where there is none."""
        lines: list[str] = json.loads(self._found.read_text())
        return lines

    def _build(self, project: LabProject) -> None:
        succeeded(project.lab("up", *self.options))
        found = outer_host.look(project) if project.configuration().get("outerHosts") else []
        succeeded(project.admin("up"))
        for other in self.saves.glob(f"{self.stack}-*"):  # of a run with other files
            shutil.rmtree(other) if other.is_dir() else other.unlink()
        succeeded(project.lab("save", self.name, "--directory", str(self.saves)))
        self._found.write_text(json.dumps(found))

    @property
    def _found(self) -> Path:
        return self.saves / f"{self.name}.json"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.saves.mkdir(parents=True, exist_ok=True)
        with (self.saves / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
