"""However a run of the engine is ended, it ends in order if it can, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[4]
LIMIT_S = 20.0

# As the engine does: a plugin in a process group of its own, with a command below it whose parent then ends.
ENGINE = """\
#!/bin/bash
marker={marker}
setsid sleep $marker.1 &
( setsid bash -c "sleep $marker.2; true" & )
trap 'echo asked >> {asked}; [ ! -e {finished} ] || exit 0; [ -e {deaf} ] || {{ echo "error: update cancelled" ; exit 1; }}' INT
trap 'echo hung up >> {asked}' HUP
trap 'echo terminated >> {asked}' TERM
echo $$ > {pid}
while :; do sleep 0.05; done
"""
CLI = """\
import sys
from pathlib import Path
from cli.engine import engine
engine.LOGS = Path({logs!r})
engine.END_S = 15
{before}
run = engine.Engine("dev", {{"PATH": {path!r}}}, Path({logs!r})).run("up", on_event=lambda event: None)
print(run.exit_code, run.output.strip())
"""


class World:
    """An engine that does nothing, and a run of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.marker = str(50_000_000 + os.getpid() * 100 + len(list(directory.parent.iterdir())))
        self.asked, self.deaf, self.pid = directory / "asked", directory / "deaf", directory / "pid"
        self.finished = directory / "finished"
        programs = directory / "bin"
        programs.mkdir()
        names = {
            "marker": self.marker,
            "asked": self.asked,
            "deaf": self.deaf,
            "pid": self.pid,
            "finished": self.finished,
        }
        (programs / "pulumi").write_text(ENGINE.format(**names))
        (programs / "pulumi").chmod(0o755)
        self.path = f"{programs}:/usr/bin:/bin"

    def start(self, before: str = "") -> subprocess.Popen[str]:
        program = CLI.format(logs=str(self.directory / "logs"), path=self.path, before=before)
        (self.directory / "logs").mkdir(exist_ok=True)
        admin = subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert eventually(lambda: self.pid.exists() and len(self.left()) >= 3, LIMIT_S)
        return admin

    def left(self) -> dict[int, str]:
        """What of the run is there."""
        found: dict[int, str] = {}
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = file.read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if self.marker in line or str(self.directory / "bin") in line:
                found[int(file.parent.name)] = line
        return found

    def engine(self) -> int:
        return int(self.pid.read_text())

    def heard(self) -> list[str]:
        return self.asked.read_text().splitlines() if self.asked.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    for pid in world.left():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_ends_the_run_in_order(world: World, number: signal.Signals) -> None:
    admin = world.start()
    admin.send_signal(number)
    said, _ = admin.communicate(timeout=LIMIT_S)
    assert said == "1 error: update cancelled\n"
    assert world.heard() == ["asked"]
    assert not world.left()


def test_a_closed_terminal_that_says_so_twice_asks_once_and_a_second_interrupt_is_passed_on(world: World) -> None:
    world.deaf.touch()
    admin = world.start()
    admin.send_signal(signal.SIGHUP)
    assert eventually(lambda: world.heard() == ["asked"], LIMIT_S)
    for number in (signal.SIGHUP, signal.SIGTERM):
        admin.send_signal(number)
        time.sleep(0.2)
    world.deaf.unlink()
    admin.send_signal(signal.SIGINT)
    admin.communicate(timeout=LIMIT_S)
    assert world.heard() == ["asked", "asked"]
    assert not world.left()


def test_a_run_that_was_done_before_it_could_be_ended_is_the_last_one(world: World) -> None:
    world.finished.touch()
    admin = world.start()
    admin.send_signal(signal.SIGINT)
    said, _ = admin.communicate(timeout=LIMIT_S)
    assert world.heard() == ["asked"]
    assert said.endswith("KeyboardInterrupt\n"), "the run after it would be begun"


def test_what_nohup_ignores_stays_ignored(world: World) -> None:
    admin = world.start("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    admin.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert admin.poll() is None
    assert world.heard() == []
    admin.kill()
    admin.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("victim", ["engine", "cli", "supervisor"])
def test_nothing_is_left_of_what_is_killed(world: World, victim: str) -> None:
    admin = world.start()
    supervisor = int(Path(f"/proc/{world.engine()}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill({"engine": world.engine(), "cli": admin.pid, "supervisor": supervisor}[victim], signal.SIGKILL)
    said, _ = admin.communicate(timeout=LIMIT_S)
    assert said == ("" if victim == "cli" else "-9 \n")
    assert eventually(lambda: not world.left(), 5.0), world.left()


def test_who_cannot_follow_a_run_any_more_ends_it(world: World) -> None:
    """As `make up | head` does."""
    before = "def broken(path, process):\n    import time; time.sleep(1); raise BrokenPipeError; yield\n"
    admin = world.start(f"{before}engine._follow = broken")
    said, _ = admin.communicate(timeout=LIMIT_S)
    assert "BrokenPipeError" in said
    assert world.heard() == ["asked"]
    assert not world.left()


def test_an_engine_that_does_not_end_is_ended(world: World) -> None:
    world.deaf.touch()
    before = "def broken(path, process):\n    import time; time.sleep(1); raise BrokenPipeError; yield\n"
    admin = world.start(f"{before}engine._follow, engine.END_S = broken, 1")
    admin.communicate(timeout=LIMIT_S)
    assert world.heard() == ["asked"]
    assert not world.left()
