"""Images that were found intact, remembered by checksum and `stat`, so that they are not read whole again.

Their age would not do: clocks of host and control machine may differ, and an adopted image was made by no run.
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
    """By path, checksum and `stat` of each file when it was found intact on this machine."""
    prefix = _key(machine, "")
    return {key.removeprefix(prefix): known for key, known in remembered.read(FILE).items() if key.startswith(prefix)}


def remember(machine: Machine, found: Mapping[str, str]) -> None:
    """Remember intact files by checksum and `stat`."""
    remembered.add(FILE, {_key(machine, path): known for path, known in found.items()})


def _key(machine: Machine, path: str) -> str:
    return f"{machine.address} {machine.host_key} {path}"
