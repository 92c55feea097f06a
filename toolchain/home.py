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
from toolchain.locking import exclusive
from toolchain.parts import ENGINE, ENGINE_VERSION, HERE, LANGUAGE, PLUGINS, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL = "make toolchain"

# Nothing may be fetched behind the user's back: what is missing is named instead.
QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}


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
        """This process's environment, with this home's `pulumi` first on PATH."""
        path = os.pathsep.join([str(self.programs), os.environ.get("PATH", os.defpath)])
        return {**os.environ, **self.settings, "PATH": path}

    def plugin_file(self, plugin: Part) -> Path:
        """Where the engine looks for the plugin's binary."""
        return self.path / "plugins" / f"resource-{plugin.name}-v{plugin.version}" / plugin.binary


def own_home() -> PulumiHome:
    """The home that this project installs into: PULUMI_HOME, else .nested-pve/pulumi of the checkout."""
    configured = os.environ.get("PULUMI_HOME")
    path = Path(configured) if configured else HERE.parent / ".nested-pve" / "pulumi"
    return PulumiHome(programs=path / "bin", path=path)


def users_home() -> PulumiHome | None:
    """The user's own Pulumi, if it is the pinned release and has both plugins already."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    programs = Path(found).resolve().parent
    path = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    home = PulumiHome(programs=programs, path=path)
    if programs == own_home().programs.resolve() or not all(home.plugin_file(plugin).is_file() for plugin in PLUGINS):
        return None
    return home if engine_version(home) == ENGINE_VERSION else None


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
    done = subprocess.run(
        [home.programs / ENGINE.binary, *arguments],
        env=home.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolchainError(
            "toolchain-broken",
            f"pulumi {' '.join(arguments)} failed",
            observed=done.stderr.strip() or f"exit code {done.returncode}",
            expected="an answer from the engine",
            remedy=f"remove {home.path}, then: {INSTALL}",
        )
    return done.stdout
