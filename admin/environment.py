"""The environment in which the engine runs: its home, its plugins, where the state is kept, who may read what."""

from __future__ import annotations

import os
from pathlib import Path

from admin.errors import AdminError
from toolchain import home
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / ".nested-pve"
BACKEND_VARIABLE = "PULUMI_BACKEND_URL"
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
        environment[BACKEND_VARIABLE] = f"file://{state}"
    # No `pip` hint and no update hint: what this project needs is locked.
    return environment | {"PULUMI_SKIP_UPDATE_CHECK": "true", "PYTHONUNBUFFERED": "1"}


def file_backend(environment: dict[str, str]) -> Path | None:
    """The directory of a state kept in files on this machine; None for every other backend."""
    url = environment.get(BACKEND_VARIABLE, "")
    if not url.startswith("file://"):
        return None
    return Path(url.removeprefix("file://").replace("~", os.path.expanduser("~"), 1)) / ".pulumi"  # noqa: PTH111
