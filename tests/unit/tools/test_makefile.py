"""What others give to `make` is text: a name that is none ends it at once, and nothing given is ever run by make or a shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Each would make the file `touched` in make or in a shell, or name another stack than it seems to.
NO_NAMES = {
    "nothing": "",
    "a command after it": "home;touch touched",
    "the rest as a comment": "home;touch touched #",
    "a substitution of the shell": "home$(touch touched)",
    "one of make": "home$(shell touch touched)",
    "make's own variable": "$(PY)",
    "back-quotes": "home`touch touched`",
    "another line": "home\ntouch touched",
    "two names": "dev twonode",
    "a space after it": "home ",
    "a pattern": "%",
    "a path": "../home",
    "an option": "--help",
    "an underscore first": "_home",
    "a letter beyond ASCII": "höme",
    "a parenthesis and a comma": "a),b",
}


def make(directory: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("STACK", "BASE", "OUTPUT", "YES")}
    environment = {name: value for name, value in environment.items() if not name.startswith("MAKE")} | given
    command = ["make", "--file", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory in which the project's Python only tells its arguments, one on a line."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "stage").symlink_to(ROOT / "tools" / "stage")
    # As new as a file can be: nothing has to be made first.
    (tmp_path / "requirements.txt").touch()
    (tmp_path / ".venv" / ".complete").touch()
    return tmp_path


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES)
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_what_is_no_stack_name_is_refused_before_anything_runs(checkout: Path, where: str, name: str) -> None:
    before = sorted(checkout.iterdir())
    given = {"STACK": name} if where == "environment" else {}
    arguments = [] if given else [f"STACK={name}"]
    for target in (["status"], ["--dry-run", "up", "YES=1"]):
        done = make(checkout, *target, *arguments, **given)
        assert done.returncode == 2
        assert f"error: STACK={name} is no stack name" in done.stderr
        assert not done.stdout
    assert sorted(checkout.iterdir()) == before


@pytest.mark.parametrize("name", ["home", "Home-2", "a", "4_nodes", "azAZ09-_"])
def test_a_stack_name_reaches_the_command(checkout: Path, name: str) -> None:
    done = make(checkout, "--dry-run", "up", f"STACK={name}", "YES=1")
    assert done.returncode == 0, done.stderr
    assert f"-m admin up --stack {name} --yes\n" in done.stdout
    assert make(checkout, "status", f"STACK={name}").stdout.split() == ["-m", "admin", "status", "--stack", name]


def test_without_a_name_it_is_the_labs(checkout: Path) -> None:
    assert "-m admin up --stack dev --yes\n" in make(checkout, "--dry-run", "up").stdout
    assert "make up" in make(checkout, "help").stdout


@pytest.mark.parametrize(
    "text", ["a b", "$(shell touch touched)", '"; touch touched; "', "'$(touch touched)`touch touched`"]
)
def test_a_base_and_an_output_are_passed_on_as_written(checkout: Path, text: str) -> None:
    before = sorted(checkout.iterdir())
    done = make(checkout, "pr-report", "STACK=home", f"BASE={text}", f"OUTPUT={text}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"report\n--stack\nhome\n--base\n{text}\n--output\n{text}\n")
    assert sorted(checkout.iterdir()) == before
