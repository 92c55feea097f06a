"""`make clean` leaves neither caches in the clone nor a lock where the toolchain was built."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolchain import build
from toolchain.errors import ToolchainError
from toolchain.locking import exclusive

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("stacks", [(), ("home", "dev-2", "my-dev", "dev-up", "up-dev")], ids=["lab", "own stacks"])
def test_nothing_that_git_ignores_is_left_and_nothing_else_goes(tmp_path: Path, stacks: tuple[str, ...]) -> None:
    """Of own stacks, whose state may be kept elsewhere, the reports and backups stay."""

    def files() -> set[str]:
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    kept = [".gitignore", "cli/main.py", "Pulumi.home.yaml"]
    reports = {
        stack: [f".nested-pve/reports/20261128T173059Z-{stack}-up{end}" for end in (".md", ".json", ".html", ".2.html")]
        for stack in ("dev", "twonode", *stacks)
    }
    backups = [
        f".nested-pve/backups/{stack}/20261128T173059Z-pve1/files.tar.gz" for stack in ("dev", "twonode", *stacks)
    ]
    for stack in stacks:
        kept += reports[stack]
    kept += backups[2:]
    made = (".venv/x", ".mypy_cache/x", ".ruff_cache/x", ".hypothesis/x", ".coverage", ".nested-pve/logs/x")
    own = [*backups, *(name for names in reports.values() for name in names)]
    for name in (*kept, *made, *own, "__pycache__/x.pyc", "cli/__pycache__/x.pyc", "lab/a b/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files() > {*kept, *made, *own}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--file", str(ROOT / "Makefile"), "SUDO=", "clean"]
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert files() == set(kept)


@pytest.fixture(params=[True, False], ids=["NESTED_PVE_CACHE", "user's cache"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where builds are kept."""
    monkeypatch.delenv("NESTED_PVE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if request.param:
        monkeypatch.setenv("NESTED_PVE_CACHE", str(tmp_path))
    return build.cache_root()


def test_all_builds_go_with_their_lock(root: Path, tmp_path: Path) -> None:
    (root / "engine-1").mkdir(parents=True)
    (root / "engine-1" / "pulumi").touch()
    build.remove_all()
    assert list(tmp_path.iterdir()) == []


def test_the_labs_cache_beside_it_stays(root: Path) -> None:
    image = root.parent / "lab" / "image"
    image.parent.mkdir(parents=True)
    image.touch()
    build.remove_all()
    assert list(root.parent.iterdir()) == [image.parent]


def refused(path: Path) -> bool:
    """Whether somebody holds the lock."""
    try:
        with exclusive(path, seconds=0):
            return False
    except ToolchainError as error:
        assert error.code == "toolchain-busy"  # noqa: PT017
        return True


def test_who_waited_for_a_lock_that_was_removed_takes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / ".lock"

    def waited() -> bool:
        with exclusive(path):
            return refused(path)

    with ThreadPoolExecutor() as pool:
        with exclusive(path):
            assert refused(path)
            waiting = pool.submit(waited)
            time.sleep(0.5)
            assert not waiting.done()
            path.unlink()
        assert waiting.result(20)
    assert not refused(path)
