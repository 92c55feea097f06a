"""What asks the way into other namespaces to end asks the command that runs there: nsenter alone would die of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import end_all, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0
ATTENDED = "import sys; from tools import attended; attended.end(attended.run(sys.argv[5:], way=sys.argv[1:5]))"
COMMAND = "trap 'echo asked; sleep 0.3; echo in order; exit 130' {name}; echo begun; while :; do sleep 0.05; done"


@pytest.fixture
def inside() -> Iterator[int]:
    """The first process of a PID namespace."""
    outer = subprocess.Popen(["unshare", "--pid", "--mount", "--fork", "--kill-child", "sleep", "300"])
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    assert eventually(lambda: children.read_text().strip() != "", LIMIT_S)
    yield int(children.read_text())
    end_all(outer.pid)
    outer.wait(LIMIT_S)


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_the_command_within_is_asked_and_waited_for(inside: int, name: str) -> None:
    way_in = ["nsenter", f"--target={inside}", "--mount", "--pid", "bash", "-c", COMMAND.format(name=name)]
    with subprocess.Popen(
        [sys.executable, "-c", ATTENDED, *way_in], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.Signals[f"SIG{name}"])
        assert run.stdout.read() == "asked\nin order\n"
    assert run.returncode == 130


def test_ctrl_c_reaches_the_command_and_is_kept_from_nsenter(inside: int) -> None:
    way_in = ["nsenter", f"--target={inside}", "--mount", "--pid", "bash", "-c", COMMAND.format(name="INT")]
    with subprocess.Popen(
        [sys.executable, "-c", ATTENDED, *way_in], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout
        assert run.stdout.readline() == "begun\n"
        os.killpg(run.pid, signal.SIGINT)
        assert run.stdout.read() == "asked\nin order\n"
    assert run.returncode == 130


def test_nsenter_alone_dies_and_leaves_its_command(inside: int) -> None:
    """Else the test above would show nothing."""
    way_in = ["nsenter", f"--target={inside}", "--mount", "--pid", "bash", "-c", COMMAND.format(name="TERM")]
    with subprocess.Popen(way_in, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        assert run.stdout.readline() == "begun\n"
        within = int(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text())
        run.terminate()
        assert run.wait(LIMIT_S) == -signal.SIGTERM
        assert Path(f"/proc/{within}").exists()
        end_all(within)
