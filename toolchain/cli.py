"""Command line of the toolchain: `python -m toolchain install|paths|check|clean`."""

from __future__ import annotations

import errno
import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from toolchain import build, home, parts
from toolchain.errors import ToolchainError
from toolchain.golang import find_go, named_failure
from toolchain.progress import BuildProgress

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(help="Pulumi's engine and plugins, built from Go modules.", no_args_is_help=True)
notes = Console(stderr=True)

WANTED = f"wanted are release {parts.ENGINE_VERSION}, " + " and ".join(f"{p.name} {p.version}" for p in parts.PLUGINS)


@app.command()
def install() -> None:
    """Build what is missing and install it into a Pulumi home of this project."""
    users = home.users_home()
    if users is not None:
        notes.print(f"using pulumi {parts.ENGINE_VERSION} of {users.programs}, with the plugins in {users.path}")
        return
    other = home.users_pulumi_left_alone()
    if other is not None:
        left = f"your own Pulumi ({other.programs}, plugins in {other.path}) is left as it is: {WANTED}"
        notes.print(left, highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    own = home.own_home()
    home.place(own, _build_all())
    notes.print(f"toolchain ready in {own.path} ({time.monotonic() - started:.1f} s)", highlight=False, soft_wrap=True)


@app.command()
def paths(
    *, shell: Annotated[bool, typer.Option("--shell", help="Print assignments for eval by a shell.")] = False
) -> None:
    """Print where the engine and its plugins are."""
    selected = home.selected_home()
    if shell:
        typer.echo(f'export PATH={shlex.quote(str(selected.programs))}:"$PATH"')
        for name, value in selected.settings.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        return
    typer.echo(selected.programs)
    typer.echo(selected.path)


@app.command()
def check() -> None:
    """Ask the installed engine what it is and which plugins it finds."""
    selected = home.selected_home()
    found = {parts.ENGINE.name: {home.engine_version(selected)}, **home.plugin_versions(selected)}
    table = Table("part", "wanted", "found")
    for part in (parts.ENGINE, *parts.PLUGINS):
        table.add_row(part.name, part.version, ", ".join(sorted(found.get(part.name, ()))))
    Console().print(table)
    wrong = [part.name for part in (parts.ENGINE, *parts.PLUGINS) if part.version not in found.get(part.name, ())]
    if wrong:
        raise ToolchainError(
            "toolchain-broken",
            f"not the pinned release: {', '.join(wrong)}",
            observed=str(found),
            expected="the releases that the table lists as wanted",
            remedy=home.INSTALL,
        )


@app.command()
def clean() -> None:
    """Remove every build from the cache; what is installed keeps working."""
    build.remove_all()


def _build_all() -> dict[parts.Part, Path]:
    go = find_go(parts.ENGINE.sources)
    with BuildProgress(notes) as progress:
        return {part: build.ensure_built(part, go, progress) for part in parts.PARTS}


def _named(error: OSError) -> ToolchainError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return named_failure(f"{error.filename}: no space left on device")
    return ToolchainError(
        "toolchain-files",
        "a file of the toolchain cannot be used",
        observed=str(error),
        expected=f"read and write access to {build.cache_root()} and {home.own_home().path}",
        remedy="correct the permissions, or set NESTED_PVE_CACHE and PULUMI_HOME to directories of your own",
    )


def main() -> None:
    """Run the command line; refusals are printed, not raised."""
    try:
        app()
    except ToolchainError as error:
        refusal = error
    except OSError as error:
        refusal = _named(error)
    notes.print(str(refusal), highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)
