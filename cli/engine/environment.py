"""The environment in which the engine runs: its home, its plugins, where the state is kept, who may read what."""

from __future__ import annotations

import functools
import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from cli.backend import state_files
from cli.console import err
from cluster.errors import AdminError
from config.paths import OWN, ROOT
from toolchain import home, inheritance
from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKEND_VARIABLE = "PULUMI_BACKEND_URL"
FILES = "file://"
NO_ATTRIBUTES = "metadata=skip"
# This program sets them itself, so `make shell` does not report them.
OWN_VARIABLES = {"PROXMOX_VE_ENDPOINT", "PULUMI_STACK", "PULUMI_DEBUG_COMMANDS", *home.QUIET}
PASSPHRASE_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def for_engine() -> dict[str, str]:
    """The engine's environment: the selected engine first on PATH, and a state in the checkout by default.

    It has those variables of this process that are meant for the engine. Others are reported, if the user may have relied on them.

    Raises:
        AdminError: toolchain-missing.
    """
    try:
        environment = home.selected_home().environment()
    except ToolchainError as error:
        raise AdminError(
            "toolchain-missing",
            "the engine and its plugins are not installed",
            observed=error.observed,
            expected=error.expected,
        ) from error
    if not environment.get(BACKEND_VARIABLE):
        state = OWN / "state"
        state.mkdir(parents=True, exist_ok=True)
        environment[BACKEND_VARIABLE] = state.as_uri()
    environment[BACKEND_VARIABLE] = without_attributes(environment[BACKEND_VARIABLE])
    if backend := file_backend(environment):
        state_files.heal(backend)
    _report_once(tuple(_missed(is_elsewhere=backend is None)))
    # No `pip` hint and no update hint: what this project needs is locked. The engine and its plugins load much that stays, and end
    # soon: to look through that for garbage takes a fifth of the engine's start.
    return environment | {"PULUMI_SKIP_UPDATE_CHECK": "true", "PYTHONUNBUFFERED": "1", "GOGC": "400"}


def for_eval(environment: dict[str, str], stack: str) -> list[str]:
    """Shell commands that turn the caller's environment into this one, as far as the engine sees a difference."""
    unset = [name for name in inheritance.taken_away(os.environ) if name not in environment and name.isidentifier()]
    lines = [f"unset {' '.join(unset)}"] if unset else []
    ours = {name: value for name, value in environment.items() if value != os.environ.get(name)}
    return lines + [f"export {name}={shlex.quote(value)}" for name, value in {**ours, "PULUMI_STACK": stack}.items()]


def _missed(*, is_elsewhere: bool) -> Iterator[str]:
    """Variables that the caller may have set for the engine, and that have no effect. A proxy counts if the state is elsewhere."""
    for name in inheritance.taken_away(os.environ):
        counts = is_elsewhere if inheritance.is_proxy(name) else name.startswith(("PROXMOX_VE_", "PULUMI_"))
        if counts and name not in OWN_VARIABLES:
            yield name


@functools.cache
def _report_once(names: tuple[str, ...]) -> None:
    if names:
        text = f"not passed on to the engine: {', '.join(names)} (docs/config.md#environment)"
        err.print(text, markup=False, soft_wrap=True)


def file_backend(environment: dict[str, str]) -> Path | None:
    """The directory of a state kept in files on this machine; None for every other backend."""
    url = environment.get(BACKEND_VARIABLE, "")
    if not url.startswith(FILES):
        return None
    path = unquote(url.removeprefix(FILES).partition("?")[0])
    # The engine runs in ROOT, and takes a relative path from there.
    return ROOT / os.path.expanduser(path) / ".pulumi"  # noqa: PTH111


def put_back_state(environment: dict[str, str], stack: str) -> None:
    """Put back a state in files that is empty or cut off, and report it; only if nobody has to be asked for that.

    Raises:
        AdminError: state-damaged.
    """
    backend = file_backend(environment)
    if backend and (done := state_files.put_back(backend, stack)):
        err.print(f"  {done}", markup=False, soft_wrap=True)


def without_attributes(url: str) -> str:
    """The same backend, without attribute files beside the state: a kill can leave those empty."""
    base, _, options = url.partition("?")
    if not url.startswith(FILES) or "metadata" in parse_qs(options):
        return url
    return f"{base}?{options}&{NO_ATTRIBUTES}" if options else f"{base}?{NO_ATTRIBUTES}"
