"""A Python environment in which the engine's programs start quickly: the project's packages, and a pip that has its answer.

Before each program the engine has pip list every package, which costs as much as all else of a small run. Nothing of ours
depends on when pip finds that list.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = ["list", "-v", "--format", "json"]
PIP = """\
import sys
from pathlib import Path

if sys.argv[1:] != {question}:
    sys.exit(f"this pip knows {question} only, and was asked {{sys.argv[1:]}}")
sys.stdout.write((Path(__file__).parent / "answer.json").read_text())
"""


def made(directory: Path) -> Path:
    """Make the environment, with what pip says now."""
    venv.create(directory, symlinks=True)
    packages = next(directory.glob("lib/python*/site-packages"))
    (packages / "project.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    pip = packages / "pip"
    pip.mkdir()
    answer = subprocess.run([sys.executable, "-m", "pip", *QUESTION], check=True, capture_output=True).stdout
    (pip / "answer.json").write_bytes(answer)
    (pip / "__init__.py").touch()
    (pip / "__main__.py").write_text(PIP.format(question=QUESTION))
    return directory
