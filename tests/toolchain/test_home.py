"""The Pulumi home: what is put there, which one is used, and what the command line says about it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain import cli as command_line
from toolchain import home
from toolchain.errors import ToolchainError
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
    return {path: path.stat() for path in pulumi.path.rglob("*") if path.is_file() and not path.name.startswith(".")}


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


def a_users_home(path: Path, version: str) -> Path:
    """A Pulumi home with the official CLI and both plugins in it; the home."""
    users = PulumiHome(programs=path / "bin", path=path)
    for file in (
        users.programs / "pulumi",
        users.programs / "pulumi-language-python",
        *map(users.plugin_file, PLUGINS),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\necho v{version}\n")
        file.chmod(0o755)
    return path


def content(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("version", [ENGINE_VERSION, "3.100.0"])
@pytest.mark.parametrize("where", ["elsewhere", ".pulumi"])
def test_a_home_that_somebody_else_made_is_never_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, version: str, builds: dict[Part, Path]
) -> None:
    users = a_users_home(tmp_path / where, version)
    (users / ".toolchain.lock").touch()  # as an earlier release of this program left it behind there
    before = content(users)
    monkeypatch.setenv("PULUMI_HOME", str(users))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(home, "HERE", tmp_path / "checkout" / "toolchain")

    home.place(home.own_home(), builds)

    assert content(users) == before
    assert home.own_home().path == tmp_path / "checkout" / ".nested-pve" / "pulumi"
    wanted = users if version == ENGINE_VERSION else home.own_home().path
    assert home.selected_home() == PulumiHome(programs=wanted / "bin", path=wanted)


def test_the_home_of_every_pulumi_is_not_even_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / ".pulumi"))

    assert home.own_home().path == ROOT / ".nested-pve" / "pulumi"


def test_a_home_that_was_made_is_known_again(own: PulumiHome, builds: dict[Part, Path]) -> None:
    home.place(own, builds)

    assert home.own_home() == own
    assert home.users_home() is None


@pytest.mark.parametrize("answer", ["exec sleep 60", "exit 3", "not a program\0"])
def test_a_users_own_pulumi_that_is_broken_is_left_alone_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    users = users_pulumi(tmp_path, monkeypatch, ENGINE_VERSION)
    monkeypatch.setattr(home, "CALL_S", 0.5)
    (users.programs / "pulumi").write_text(f"#!/bin/sh\n{answer}\n" if "exec" in answer or "exit" in answer else answer)

    assert home.users_home() is None
    assert home.users_pulumi_left_alone() == users
    with pytest.raises(ToolchainError) as refused:
        home.engine_version(users)
    assert "repair your own Pulumi" in refused.value.remedy
    assert ".pulumi" not in refused.value.remedy


def test_a_users_own_pulumi_that_cannot_be_used_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    builds: dict[Part, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    users = a_users_home(tmp_path / "users-home", "3.100.0")
    monkeypatch.setenv("PULUMI_HOME", str(users))
    monkeypatch.setattr(home, "HERE", tmp_path / "checkout" / "toolchain")
    monkeypatch.setattr(command_line, "_build_all", lambda: builds)

    command_line.install()

    said = " ".join(capsys.readouterr().err.split())
    assert f"your own Pulumi ({users}/bin, plugins in {users}) is left as it is" in said
    assert f"wanted are release {ENGINE_VERSION}, command 1.2.1 and proxmoxve 8.6.0" in said
    assert f"toolchain ready in {tmp_path}/checkout/.nested-pve/pulumi" in said


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
