"""A Pulumi home with the pinned engine and plugins, so that a user's own Pulumi is left alone."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.errors import ToolchainError
from toolchain.inheritance import inherited
from toolchain.locking import exclusive
from toolchain.parts import ENGINE, ENGINE_VERSION, HERE, LANGUAGE, PLUGINS, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL = "make toolchain"
BUILD_ANEW = ".venv/bin/python -m toolchain clean && make toolchain"  # the installed files are links into the cache
MARK = ".made-by-nested-pve-ha"  # in a home that this program made; no other is ever written to
CALL_S = 30  # for what the engine answers at once

# Nothing may be fetched behind the user's back: what is missing is named instead.
QUIET = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # the language host has pip list what is installed, and pip asks the package index then
}


@dataclass(frozen=True)
class PulumiHome:
    """Where an engine is, and where it keeps its plugins.

    Attributes:
        programs: Directory with `pulumi` and its language host; goes to the front of PATH.
        path: PULUMI_HOME.
    """

    programs: Path
    path: Path

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables, besides PATH, that select this home."""
        return {"PULUMI_HOME": str(self.path), **QUIET}

    def environment(self) -> dict[str, str]:
        """What is meant for the engine of this process's environment, with this home's `pulumi` first on PATH."""
        path = os.pathsep.join([str(self.programs), os.environ.get("PATH", os.defpath)])
        return {**inherited(os.environ), **self.settings, "PATH": path}

    def plugin_file(self, plugin: Part) -> Path:
        """Where the engine looks for the plugin's binary."""
        return self.path / "plugins" / f"resource-{plugin.name}-v{plugin.version}" / plugin.binary


def own_home() -> PulumiHome:
    """The home that this project installs into: PULUMI_HOME if it is its own, else .nested-pve/pulumi of the checkout."""
    configured = configured_home()
    path = configured if configured and _is_own(configured) else HERE.parent / ".nested-pve" / "pulumi"
    return PulumiHome(programs=path / "bin", path=path)


def configured_home() -> Path | None:
    """The directory that PULUMI_HOME names."""
    configured = os.environ.get("PULUMI_HOME")
    return Path(configured).absolute() if configured else None


def _is_own(path: Path) -> bool:
    """Made by this program, or nothing yet. The home that every Pulumi takes by itself is its user's, always."""
    if path.resolve() == (Path.home() / ".pulumi").resolve():
        return False
    try:
        return (path / MARK).is_file() or not path.exists() or not any(path.iterdir())
    except OSError:
        return False  # not even readable


def users_home() -> PulumiHome | None:
    """The user's own Pulumi, if it is the pinned release and has both plugins already."""
    home = _users_pulumi()
    if home is None or not all(home.plugin_file(plugin).is_file() for plugin in PLUGINS):
        return None
    try:
        return home if engine_version(home) == ENGINE_VERSION else None
    except ToolchainError:
        return None  # broken; that is its user's to see to


def users_pulumi_left_alone() -> PulumiHome | None:
    """The user's own Pulumi, if there is one that cannot be used."""
    return _users_pulumi() if users_home() is None else None


def _users_pulumi() -> PulumiHome | None:
    """The engine of the home that PULUMI_HOME names, or the first one on PATH, if this program did not make it."""
    configured = configured_home()
    if configured and _is_own(configured):
        return None
    path = configured or Path.home() / ".pulumi"
    found = shutil.which(ENGINE.binary, path=os.pathsep.join([str(path / "bin"), os.environ.get("PATH", os.defpath)]))
    if found is None:
        return None
    programs = Path(found).resolve().parent
    return PulumiHome(programs, path) if programs != own_home().programs.resolve() else None


def selected_home() -> PulumiHome:
    """The home to work with.

    Raises:
        ToolchainError: `toolchain-not-installed` when there is none yet.
    """
    users = users_home()
    if users is not None:
        return users
    home = own_home()
    missing = [path for path in _files(home) if not path.is_file()]
    if missing:
        raise ToolchainError(
            "toolchain-not-installed",
            "Pulumi's engine and plugins are not installed",
            observed=f"no {missing[0]}",
            expected="the engine, its Python language host and both plugins",
            remedy=INSTALL,
        )
    return home


def place(home: PulumiHome, builds: Mapping[Part, Path]) -> None:
    """Put the built files into the home. Each file is replaced whole; a running program keeps the one it has."""
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / MARK).touch()
    with exclusive(home.path / ".toolchain.lock"):
        for part, build in builds.items():
            directory = home.plugin_file(part).parent if part in PLUGINS else home.programs
            directory.mkdir(parents=True, exist_ok=True)
            for file in build.iterdir():
                _replace(directory / file.name, file)


def engine_version(home: PulumiHome) -> str:
    """The release that this home's engine reports, without the leading v."""
    return _ask_engine(home, "version").strip().removeprefix("v")


def plugin_versions(home: PulumiHome) -> dict[str, set[str]]:
    """The plugins that this home's engine finds, by name."""
    versions: dict[str, set[str]] = {}
    for plugin in json.loads(_ask_engine(home, "plugin", "ls", "--json")):
        versions.setdefault(plugin["name"], set()).add(plugin["version"])
    return versions


def _files(home: PulumiHome) -> list[Path]:
    tools = [home.programs / ENGINE.binary, home.programs / LANGUAGE.binary]
    return [*tools, *(home.plugin_file(plugin) for plugin in PLUGINS)]


def _replace(target: Path, source: Path) -> None:
    if target.exists() and filecmp.cmp(source, target):
        return
    staged = target.with_name(f".{target.name}.new")
    staged.unlink(missing_ok=True)
    try:
        staged.hardlink_to(source)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copy2(source, staged)
    staged.replace(target)


def _ask_engine(home: PulumiHome, *arguments: str) -> str:
    command = [str(home.programs / ENGINE.binary), *arguments]
    try:
        done = subprocess.run(
            command, env=home.environment(), capture_output=True, text=True, timeout=CALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _broken(home, arguments, f"nothing for {CALL_S} s") from None
    except OSError as error:
        raise _broken(home, arguments, str(error)) from error
    if done.returncode != 0:
        raise _broken(home, arguments, done.stderr.strip() or f"exit code {done.returncode}")
    return done.stdout


def _broken(home: PulumiHome, arguments: tuple[str, ...], observed: str) -> ToolchainError:
    return ToolchainError(
        "toolchain-broken",
        f"pulumi {' '.join(arguments)} failed",
        observed=observed,
        expected=f"an answer from the engine in {home.programs}",
        remedy=BUILD_ANEW if home == own_home() else f"repair your own Pulumi, or take it off PATH; then: {INSTALL}",
    )
