"""The environment in which the engine runs: its home, its plugins, where the state is kept, who may read what."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, unquote

from admin import state_files
from admin.errors import AdminError
from toolchain import home
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / ".nested-pve"
BACKEND_VARIABLE = "PULUMI_BACKEND_URL"
FILES = "file://"
NO_ATTRIBUTES = "metadata=skip"
PASSPHRASE_VARIABLES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def for_engine() -> dict[str, str]:
    """This process's environment, with the selected engine first on PATH, and a state in the checkout by default.

    Raises:
        AdminError: toolchain-missing.
    """
    try:
        environment = home.selected_home().environment()
    except ToolchainError as error:
        raise AdminError(
            "toolchain-missing",
            "the engine and its plugins are not there",
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
    # No `pip` hint and no update hint: what this project needs is locked.
    return environment | {"PULUMI_SKIP_UPDATE_CHECK": "true", "PYTHONUNBUFFERED": "1"}


def file_backend(environment: dict[str, str]) -> Path | None:
    """The directory of a state kept in files on this machine; None for every other backend."""
    url = environment.get(BACKEND_VARIABLE, "")
    if not url.startswith(FILES):
        return None
    path = unquote(url.removeprefix(FILES).partition("?")[0])
    # The engine runs in ROOT, and takes a relative path from there.
    return ROOT / os.path.expanduser(path) / ".pulumi"  # noqa: PTH111


def without_attributes(url: str) -> str:
    """The same backend; in files, the engine writes no attributes beside them, which a kill can leave empty."""
    base, _, options = url.partition("?")
    if not url.startswith(FILES) or "metadata" in parse_qs(options):
        return url
    return f"{base}?{options}&{NO_ATTRIBUTES}" if options else f"{base}?{NO_ATTRIBUTES}"
