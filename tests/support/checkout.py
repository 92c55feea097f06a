"""A copy of what is tracked here, with this checkout's Python environment and toolchain."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> list[str]:
    """The tracked files that there are, and those that may become so; without the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file() and not name.startswith("tests/")]


def copy_tracked(directory: Path, python: Path = ROOT / ".venv") -> None:
    """Fill a directory with them."""
    for name in tracked():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (directory / ".venv").symlink_to(python)
    (directory / ".nested-pve").mkdir()
    (directory / ".nested-pve" / "pulumi").symlink_to(ROOT / ".nested-pve" / "pulumi")
