"""A stack file that is not right is refused before what is slow to load is loaded: modules are counted, not seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SLOW = {"asyncssh", "grpc", "pulumi", "pulumi_proxmoxve", "requests"}
CALL = """\
import json, sys
from pathlib import Path
from cli import description, main
from config import paths
paths.ROOT = description.ROOT = Path({root!r})
try:
    main.main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""
COMMANDS = (
    ("up", "--yes"),
    ("adopt", "--yes"),
    ("preview",),
    ("preview", "--look"),
    ("down", "--yes"),
    ("status",),
    ("reset", "--node", "pve3", "--yes"),
    ("replace", "--node", "pve3", "--yes"),
    ("drain", "--node", "proxmox01"),
    ("undrain", "--node", "proxmox01"),
    ("reboot", "--yes"),
    ("upgrade", "--yes"),
    ("drill", "--yes"),
    ("repair", "--yes"),
)


def called(root: Path, *arguments: str) -> tuple[int, str, set[str]]:
    """Exit code, what was said, and what was loaded."""
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(root=str(root)), *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    *said, loaded = done.stdout.splitlines()
    return done.returncode, "\n".join([*said, done.stderr]), set(json.loads(loaded))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with one good stack file, and one that misspells a key."""
    good = (ROOT / "Pulumi.dev.yaml").read_text()
    (tmp_path / "Pulumi.dev.yaml").write_text(good)
    (tmp_path / "Pulumi.bad.yaml").write_text(good.replace("pveMajor:", "pveMayor:", 1))
    return tmp_path


BAD = ("bad", "config-invalid", "pveMayor")
CASES = [*((command, *BAD) for command in COMMANDS), (("preview",), "none", "stack-unknown", "Pulumi.none.yaml")]


@pytest.mark.parametrize(("command", "stack", "code", "what"), CASES, ids=str)
def test_a_refusal_loads_nothing_slow_and_changes_nothing(
    root: Path, command: tuple[str, ...], stack: str, code: str, what: str
) -> None:
    before = {file: file.read_bytes() for file in root.rglob("*")}
    exit_code, said, loaded = called(root, *command, "--stack", stack)
    assert exit_code == 1
    assert f"error[{code}]" in said
    assert what in said
    assert not loaded & SLOW
    assert {file: file.read_bytes() for file in root.rglob("*")} == before


def test_a_report_that_is_a_refusal_loads_nothing_slow(root: Path) -> None:
    for name in ("policy", "Pulumi.yaml"):
        (root / name).symlink_to(ROOT / name)
    exit_code, said, loaded = called(root, "report", "--stack", "bad")
    assert exit_code == 1
    assert "pveMayor" in said
    assert not loaded & SLOW


def test_a_command_that_works_does_load_it() -> None:
    """Else the tests above would show nothing."""
    program = "import json, sys; from cli import up; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert "asyncssh" in json.loads(done.stdout)
