"""The on-node package arrives as it is, and only its code decides whether it is copied again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from cluster.transport.shipped import SOURCE
from tests.support.program import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Workspace

PROGRAM = """
import sys
sys.path.insert(0, cfg("root"))
from components import package
from pulumi_command import remote

copy = remote.CopyToRemote(
    "package",
    connection=cfg("connection"),
    source=pulumi.FileArchive(package.stage(Path(cfg("source")))),
    remote_path=cfg("target"),
)
remote.Command(
    "step", connection=cfg("connection"), create="date >>" + cfg("target") + "/ran", opts=pulumi.ResourceOptions(depends_on=[copy])
)
"""


def test_new_code_is_copied_and_runs_no_step_again(tmp_path: Path, workspace: Workspace, sshd: Sshd) -> None:
    source, target = tmp_path / "source", tmp_path / "machine"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    values = {"root": str(ROOT), "connection": sshd.connection, "source": str(source), "target": str(target)}
    first = workspace.up(PROGRAM, **values)
    assert first.code == 0, first.output
    there = target / "onnode"
    copied = {path.relative_to(there): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert copied == {path.relative_to(source): path.read_bytes() for path in source.rglob("*.py")}

    # Caches appear and times change whenever the package is imported or checked out.
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "contract.cpython-311.pyc").write_bytes(b"x")
    os.utime(source / "contract/host.py", (0, 0))
    shutil.rmtree(workspace.directory / ".nested-pve")
    again = workspace.preview(PROGRAM, **values)
    assert {name: again.steps()[name] for name in ("package", "step")} == {"package": ["same"], "step": ["same"]}

    (source / "errors.py").write_text("changed = True\n")
    changed = workspace.up(PROGRAM, **values)
    assert {name: changed.steps()[name] for name in ("package", "step")} == {"package": ["update"], "step": ["same"]}
    assert (target / "onnode" / "errors.py").read_text() == "changed = True\n"
    assert len((target / "ran").read_text().splitlines()) == 1


def test_the_copied_directory_is_a_program(tmp_path: Path) -> None:
    target = tmp_path / "onnode"
    shutil.copytree(SOURCE, target, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, str(target), "no-such-step"], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "error[bad-input]" in done.stderr
