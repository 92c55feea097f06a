"""A program or a lock that does not come to an end is named, in bounded time."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest

from cli.report import base
from cluster.errors import AdminError
from cluster.transport import bundle
from lab import programs
from lab.errors import LabError
from lab.settings import Settings
from lab.world import lifecycle
from toolchain import golang
from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT_S = 0.3


@pytest.fixture(autouse=True)
def in_bounded_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 30


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A program that never ends by itself."""
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho at work >&2\nexec sleep 300\n")
    program.chmod(0o755)
    return program


def test_git(stuck: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{stuck.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(base, "GIT_S", LIMIT_S)
    with pytest.raises(AdminError, match="does not end") as refused:
        base.refuse_unknown("main")
    assert refused.value.code == "base-unknown"


def test_go(stuck: Path) -> None:
    with pytest.raises(ToolchainError, match="does not end") as refused:
        golang._run([str(stuck), "build"], stuck.parent, lambda _line: None, LIMIT_S)
    assert refused.value.code == "build-stuck"
    assert "it said last: at work" in str(refused.value)
    assert "\n  next: run this again" in str(refused.value)


def test_a_go_that_ends_in_time_is_not_stuck(tmp_path: Path) -> None:
    assert golang._run(["echo", "done"], tmp_path, lambda _line: None, 30) == "done\n"


def test_a_program_of_the_lab(stuck: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "LIMIT_S", LIMIT_S)
    with pytest.raises(LabError) as refused:
        programs.run([str(stuck)])
    assert "no end within 0.3 s" in refused.value.observed


def test_the_lock_of_the_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LOCK_S", LIMIT_S)
    file = tmp_path / "dev.pem"
    with file.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AdminError) as refused:
            bundle.write(file, [])
    assert refused.value.code == "stack-locked"
    assert not file.exists()
    bundle.write(file, [])
    assert file.exists()


def test_the_lock_of_a_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "BUSY_S", LIMIT_S)
    settings = Settings(tmp_path / "lab", tmp_path)
    settings.state.mkdir()
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LabError) as refused:
            lifecycle.remove(settings)
    finally:
        os.close(held)
    assert refused.value.code == "lab-busy"
    assert settings.state.exists()
    lifecycle.remove(settings)
    assert not settings.state.exists()
