"""The Pulumi home: what is put there, which one is used, and what the command line says about it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain import home
from toolchain.home import PulumiHome
from toolchain.parts import COMMAND, ENGINE, ENGINE_VERSION, PARTS, PLUGINS, PROXMOXVE, Part

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def builds(tmp_path: Path) -> dict[Part, Path]:
    """What a build of every part leaves, in small."""
    directories = {part: tmp_path / "builds" / part.name for part in PARTS}
    for part, directory in directories.items():
        directory.mkdir(parents=True)
        executable = directory / part.binary
        executable.write_text(f"#!/bin/sh\necho v{part.version}\n")
        executable.chmod(0o755)
    return directories


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PulumiHome:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    return home.own_home()


def files(pulumi: PulumiHome) -> dict[Path, os.stat_result]:
    return {path: path.stat() for path in pulumi.path.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_the_home_has_what_the_engine_looks_for(own: PulumiHome, builds: dict[Part, Path]) -> None:
    home.place(own, builds)

    assert {path.relative_to(own.path).as_posix() for path in files(own)} == {
        "bin/pulumi",
        "bin/pulumi-language-python",
        "plugins/resource-command-v1.2.1/pulumi-resource-command",
        "plugins/resource-proxmoxve-v8.6.0/pulumi-resource-proxmoxve",
    }
    assert all(status.st_mode & stat.S_IXUSR for status in files(own).values())
    assert home.selected_home() == own


def test_installing_again_touches_only_what_changed(own: PulumiHome, builds: dict[Part, Path]) -> None:
    home.place(own, builds)
    before = files(own)
    changed = own.plugin_file(PROXMOXVE)
    (builds[PROXMOXVE] / PROXMOXVE.binary).unlink()
    (builds[PROXMOXVE] / PROXMOXVE.binary).write_text("#!/bin/sh\necho new\n")

    home.place(own, builds)

    assert changed.read_text() == "#!/bin/sh\necho new\n"
    assert {path for path, status in files(own).items() if status != before[path]} == {changed}


def test_a_running_plugin_can_be_replaced(own: PulumiHome, builds: dict[Part, Path]) -> None:
    source = builds[COMMAND] / COMMAND.binary
    shutil.copy2(shutil.which("sleep") or "", source)
    home.place(own, builds)
    with subprocess.Popen([own.plugin_file(COMMAND), "60"]) as running:
        try:
            source.unlink()
            source.write_text("#!/bin/sh\necho new\n")
            home.place(own, builds)
            assert running.poll() is None
        finally:
            running.kill()

    assert own.plugin_file(COMMAND).read_text() == "#!/bin/sh\necho new\n"


def users_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> PulumiHome:
    """A Pulumi of the user's own on PATH, with both plugins."""
    users = PulumiHome(programs=tmp_path / "users", path=tmp_path / "home" / ".pulumi")
    users.programs.mkdir()
    (users.programs / "pulumi").write_text(f"#!/bin/sh\necho v{version}\n")
    (users.programs / "pulumi").chmod(0o755)
    for plugin in PLUGINS:
        users.plugin_file(plugin).parent.mkdir(parents=True)
        users.plugin_file(plugin).touch()
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(users.programs), prepend=os.pathsep)
    return users


def test_the_users_own_pulumi_of_the_pinned_release_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = users_pulumi(tmp_path, monkeypatch, ENGINE_VERSION)

    assert home.selected_home() == users


def test_the_users_own_pulumi_is_not_used_when_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users_pulumi(tmp_path, monkeypatch, "3.100.0")

    assert home.users_home() is None


def test_the_users_own_pulumi_is_not_used_without_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = users_pulumi(tmp_path, monkeypatch, ENGINE_VERSION)
    users.plugin_file(PROXMOXVE).unlink()

    assert home.users_home() is None


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toolchain", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.usefixtures("own")
def test_before_the_installation_the_way_to_it_is_shown() -> None:
    done = cli("paths", "--shell")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error[toolchain-not-installed]")
    assert "next: make toolchain" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_command_is_no_traceback() -> None:
    done = cli("instal")

    assert done.returncode == 2
    assert "No such command" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_shell_takes_the_paths(own: PulumiHome, builds: dict[Part, Path]) -> None:
    home.place(own, builds)
    script = f'eval "$({sys.executable} -m toolchain paths --shell)"; command -v pulumi; echo "$PULUMI_HOME"'

    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(own.programs / ENGINE.binary), str(own.path)]


def test_a_wrong_release_is_named(own: PulumiHome, builds: dict[Part, Path]) -> None:
    (builds[ENGINE] / ENGINE.binary).write_text('#!/bin/sh\n[ "$1" = version ] && echo v3.1.0 || echo "[]"\n')
    home.place(own, builds)

    done = cli("check")

    assert done.returncode == 1
    assert "error[toolchain-broken]: not the pinned release: engine, command, proxmoxve" in done.stderr
