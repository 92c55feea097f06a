"""The way into the lab, which nearly every command of a test takes, loads little."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
LOADED = """
import sys
from lab.__main__ import main
code = main(sys.argv[1:])
print(*(name for name in ("asyncio", "typer") if name in sys.modules))
sys.exit(code)
"""


def called(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        # Some of the commands remove things: those of whoever runs the tests are elsewhere.
        env={
            **os.environ,
            "NESTED_PVE_LAB_STATE": str(state),
            "NESTED_PVE_CACHE": str(state / "cache"),
            "PYTHONPATH": str(PROJECT),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [("run", "--", "true"), ("run", "--caller", "1", "--", "true", "--")])
def test_a_command_in_the_lab_loads_neither_the_command_line_nor_asyncio(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = called(tmp_path / "no-lab", *words)
    assert done.stdout == "\n"
    assert (
        done.stderr == "error[lab-not-running]: there is no running lab\n  next: make up, with STACK= if you gave it\n"
    )
    assert done.returncode == 1


def test_without_a_command_the_commands_are_lines_to_copy(tmp_path: Path) -> None:
    done = called(tmp_path / "no-lab")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " # " in line]
    commands = [shlex.split(shlex.split(line)[2].removeprefix("DO=")) for line in lines]
    assert ["link", "cut", "proxmox02", "0"] in commands
    assert ["storage", "restore", "proxmox02"] in commands
    assert not {"up", "down", "reset", "run"} & {words[0] for words in commands}
    for words in commands:
        asked = called(tmp_path / "no-lab", *words)
        about_saves = words[0] in ("restore", "forget")  # which need no lab
        assert f"error[{'lab-save-unknown' if about_saves else 'lab-not-running'}]" in asked.stderr, words
    assert "Usage:" in called(tmp_path / "no-lab", "link", "cut", "proxmox02").stderr


def test_every_other_command_is_the_command_lines(tmp_path: Path) -> None:
    done = called(tmp_path / "no-lab", "status")
    assert "typer" in done.stdout
    assert (
        done.stderr == "error[lab-not-running]: there is no running lab\n  next: make up, with STACK= if you gave it\n"
    )
    assert done.returncode == 1
