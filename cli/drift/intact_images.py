"""Images that were found intact, remembered by what their host itself says of the file: they are not read whole again.

The clocks of a host and of the control machine need not agree, and what was adopted was not made by any run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.transport import remembered
from config.paths import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.contract import Machine

FILE = OWN / "images.json"


def known(machine: Machine) -> dict[str, str]:
    """What the machine said of each file when it was found intact, by path."""
    prefix = _key(machine, "")
    return {key.removeprefix(prefix): said for key, said in remembered.read(FILE).items() if key.startswith(prefix)}


def remember(machine: Machine, found: Mapping[str, str]) -> None:
    """Keep what the machine says of files that are intact."""
    remembered.add(FILE, {_key(machine, path): said for path, said in found.items()})


def _key(machine: Machine, path: str) -> str:
    return f"{machine.address} {machine.host_key} {path}"
