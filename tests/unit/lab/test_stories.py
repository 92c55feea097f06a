"""Each long lab test runs with one of six commits on average, and nobody has to remember which."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stories import left_out

ROOT = Path(__file__).resolve().parents[3]
# With the time of its commits, so that their hashes are always the same.
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "a"), ("EMAIL", "a@b"), ("DATE", "2026-01-01T00:00:00Z"))
}


@given(st.lists(st.text(), unique=True), st.integers(1, 5))
def test_the_shares_are_all_of_them_and_none_twice(names: list[str], of: int) -> None:
    shares = [set(names) - left_out(names, f"{which}/{of}") for which in range(1, of + 1)]
    assert set().union(*shares) == set(names)
    assert sum(map(len, shares)) == len(names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_a_share_all_run() -> None:
    assert left_out(["a", "b"], "") == set()


@pytest.mark.parametrize("share", ["0/3", "4/3", "all", "1", "1/0"])
def test_what_is_no_share_is_refused(share: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        left_out(["a"], share)


def drawn(directory: Path, **environment: str) -> str:
    """What continuous integration tells make there."""
    for name in (".ci/run", "pyproject.toml"):
        (directory / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    make = directory / "bin" / "make"
    make.parent.mkdir(exist_ok=True)
    make.write_text('#!/bin/sh\necho "${STORIES-unset}"\n')
    make.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if name != "STORIES"}
    done = subprocess.run(
        [directory / ".ci" / "run"],
        env={**clean, **environment, "PATH": f"{make.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_each_commit_draws_and_what_is_asked_for_counts(tmp_path: Path) -> None:
    assert drawn(tmp_path) == "", "without a commit, all run"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    seen = {}
    for number in range(30):
        command = ["git", "commit", "-q", "--allow-empty", "-m", str(number)]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **AUTHOR}, check=True)
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
        seen[done.stdout.strip()] = drawn(tmp_path)
    assert set(seen.values()) == {f"{which}/6" for which in range(1, 7)}
    assert {commit: f"{int(commit[:6], 16) % 6 + 1}/6" for commit in seen} == seen
    assert drawn(tmp_path, STORIES="") == ""
    assert drawn(tmp_path, STORIES="2/2") == "2/2"
