"""Running labs for the tests: each with a state directory of its own, all of them beside each other on one machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.settings import Settings
from lab.world import lifecycle
from tests.support import stories
from tests.support.saved_lab import SAVES, SavedLab, saves_of_this_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[2]
WAIT_S = 120.0
Done = subprocess.CompletedProcess[str]


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C: a cancelled run leaves no lab behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the stories that others run to others, for all to see."""
    share = os.environ.get(stories.VARIABLE, "")
    marked = [item for item in items if item.get_closest_marker("story")]
    others = stories.left_out([item.nodeid for item in marked], share)
    for item in marked:
        if item.nodeid in others:
            item.add_marker(pytest.mark.skip(reason=f"a story for another run: {stories.VARIABLE}={share}"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the saves, and the labs of workers that got no time to: pytest ends them shortly after it was cancelled itself."""
    if hasattr(config, "workerinput"):
        return
    directory = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    for record in directory.glob("popen-gw*/*/*/lab.json"):
        Lab(record.parent).cli("down")
    shutil.rmtree(directory / SAVES, ignore_errors=True)


@dataclass(frozen=True)
class Lab:
    """One lab, driven from outside: through its command line, and from its control machine."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "NESTED_PVE_LAB_STATE": str(self.state), "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}

    def cli(self, *words: str, stdin: str | None = None, timeout_s: float = 240) -> Done:
        """`python -m lab …`, whatever its outcome."""
        return subprocess.run(
            [sys.executable, "-m", "lab", *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            cwd=PROJECT,
        )

    def do(self, *words: str, stdin: str | None = None) -> str:
        """`python -m lab …` that must succeed; returns what it printed."""
        done = self.cli(*words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, *command: str, stdin: str | None = None) -> Done:
        """A command on the control machine."""
        return self.cli("run", "--", *command, stdin=stdin)

    def ssh(self, machine: str, script: str) -> Done:
        """A shell script on a machine; without the command line's start, which takes longer than the script."""
        return subprocess.run(
            [
                *lifecycle.way_in(Settings(self.state, self.state)),
                "ssh",
                "-o",
                "ConnectTimeout=5",
                machine,
                "bash -s",
            ],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def sh(self, machine: str, script: str) -> str:
        """A shell script on a machine that must succeed; returns what it printed."""
        done = self.ssh(machine, script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What `status --json` prints; asked directly, as many tests wait for something here."""
        return lifecycle.ask(Settings(self.state, self.state), {"op": "status"})

    def power(self, machine: str) -> bool:
        """Whether a machine is on."""
        return next(bool(one["on"]) for one in self.status()["machines"] if one["name"] == machine)

    def console(self, machine: str) -> str:
        """What a machine's console has shown."""
        return self.do("node", "console", machine, "--log")

    def record(self) -> dict[str, Any]:
        """What the lab notes about itself."""
        note: dict[str, Any] = json.loads((self.state / "lab.json").read_text())
        return note

    def answers(self, address: str) -> bool:
        """Whether an SSH server greets at the address."""
        return self.run("timeout", "2", "bash", "-c", f"head -c 4 </dev/tcp/{address}/22").stdout == "SSH-"


def eventually(condition: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.7)  # each look costs time of the processors, which the machines need, too


def _running(state: Path, *options: str) -> Iterator[Lab]:
    lab = Lab(state)
    try:
        lab.do("up", *options)
        yield lab
    finally:
        lab.do("down")


@pytest.fixture(scope="session")
def saved_lab(tmp_path_factory: pytest.TempPathFactory) -> SavedLab:
    """The deployed stack dev, to be restored in labs of their own."""
    return SavedLab(saves_of_this_run(tmp_path_factory), "dev")


@pytest.fixture(scope="session")
def saved_physical(tmp_path_factory: pytest.TempPathFactory) -> SavedLab:
    """The deployed stack physical, to be restored in labs of their own."""
    # While a second node joins a cluster of one, there is no quorum: a starving node would fence itself.
    return SavedLab(saves_of_this_run(tmp_path_factory), "physical", "--shape", "physical", "--time-scale", "0.2")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The default lab: an outer host. Tests leave it as usable as they found it."""
    yield from _running(tmp_path_factory.mktemp("lab") / "state")


@pytest.fixture(scope="module")
def fresh_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A default lab that no other file of tests has used."""
    yield from _running(tmp_path_factory.mktemp("fresh") / "state")


@pytest.fixture(scope="session")
def physical_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab of three existing nodes and a storage server."""
    yield from _running(tmp_path_factory.mktemp("physical") / "state", "--shape", "physical")


@pytest.fixture(scope="module")
def libvirt_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab of a Debian machine with libvirt."""
    yield from _running(tmp_path_factory.mktemp("libvirt") / "state", "--shape", "libvirt")


@pytest.fixture(scope="module")
def spare_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A place for a lab that tests start and break; each of them begins with whatever the one before has left."""
    lab = Lab(tmp_path_factory.mktemp("spare") / "state")
    try:
        yield lab
    finally:
        lab.do("down")
