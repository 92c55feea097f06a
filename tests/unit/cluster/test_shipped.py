"""A step brings its package along, and uses the machine's own only where that is the same to the letter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.transport import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

# Says where the code came from, as a step would; the real package's would ask the machine.
SPY = "import sys\n\ndef main(argv):\n    print(__file__, *argv)\n    return 3\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The checkout's package, with a spy for a step."""
    source = tmp_path / "checkout" / "onnode"
    (source / "host").mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "host" / "journal.py").write_text("STEP = 1\n")
    (source / "dispatch.py").write_text(SPY)
    return source


def run(installed: Path, packed: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{shipped.program(str(installed))} 'journal --restore'"],
        input=f"{packed}\n",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    return done.returncode, done.stdout, done.stderr


CHANGES: dict[str, Callable[[Path], object]] = {
    "missing": shutil.rmtree,
    "a letter": lambda package: (package / "dispatch.py").write_text(SPY.replace("3", "4")),
    "a file too few": lambda package: (package / "host" / "journal.py").unlink(),
    "a file too many": lambda package: (package / "host" / "json.py").touch(),
    "another name": lambda package: (package / "host" / "journal.py").rename(package / "host" / "journa1.py"),
    "no text": lambda package: (package / "host" / "journal.py").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_installed_otherwise_is_not_used(tmp_path: Path, source: Path, change: str) -> None:
    installed = tmp_path / "machine" / "onnode"
    shutil.copytree(source, installed)
    CHANGES[change](installed)
    code, said, errors = run(installed, shipped.packed(source))
    assert (code, errors) == (3, "")
    assert said.startswith("/proc/self/fd/")
    assert said.endswith("/onnode/dispatch.py journal --restore\n")


def test_what_is_installed_to_the_letter_is_used(tmp_path: Path, source: Path) -> None:
    installed = tmp_path / "machine" / "onnode"
    shutil.copytree(source, installed)
    (installed / "__pycache__").mkdir()
    (installed / "__pycache__" / "dispatch.cpython-311.pyc").write_bytes(b"stale")
    before = sorted(installed.rglob("*"))
    assert run(installed, shipped.packed(source)) == (3, f"{installed}/dispatch.py journal --restore\n", "")
    assert sorted(installed.rglob("*")) == before
