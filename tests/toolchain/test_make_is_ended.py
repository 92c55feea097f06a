"""The real make over the real engine, asked to end in the middle of its work: nothing of it is left, and the next run goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import eventually
from tests.support.program import ROOT, credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN_S = 120.0
END_S = 60.0
MAKE = ("make", "--old-file=venv", "--old-file=toolchain", "SUDO=", "preview", "STACK=home")
PROGRAM = b"pulumi-language-python-exec"


@pytest.fixture
def checkout(tmp_path: Path, tracked: Path) -> Iterator[Path]:
    directory = tmp_path / "project"
    shutil.copytree(tracked, directory, symlinks=True)
    (directory / "Pulumi.home.yaml").write_text((ROOT / "Pulumi.dev.yaml").read_text())
    (directory / "credentials.json").touch(mode=0o600)
    (directory / "credentials.json").write_text(json.dumps(credentials()))
    yield directory
    for pid in working(directory):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(checkout: Path) -> subprocess.Popen[str]:
    own = {"NESTED_PVE_CREDENTIALS": str(checkout / "credentials.json"), "PULUMI_CONFIG_PASSPHRASE": "lab-only"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "PULUMI_HOME" or not name.startswith(("MAKE", "MFLAGS", "PULUMI_"))
    }
    return subprocess.Popen(
        MAKE,
        cwd=checkout,
        env=kept | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def working(directory: Path) -> dict[int, bytes]:
    """The processes that work in that directory, with their command lines: the engine takes over no mark of ours."""
    found = {}
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink().is_relative_to(directory):
                found[int(link.parent.name)] = (link.parent / "cmdline").read_bytes()
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_preview_ends_with_make_and_leaves_nothing(checkout: Path, number: signal.Signals) -> None:
    make = start(checkout)
    assert eventually(lambda: any(PROGRAM in words for words in working(checkout).values()), BEGIN_S)
    make.send_signal(number)
    said, _ = make.communicate(timeout=END_S)
    assert make.returncode != 0
    assert "planned: " not in said
    assert "Traceback" not in said
    assert eventually(lambda: not working(checkout), END_S), working(checkout)
    assert not [file for file in (checkout / ".nested-pve/state").rglob("locks/**/*.json") if file.is_file()]
