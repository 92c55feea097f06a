"""Certificates of APIs that were compared over SSH before, remembered as known_hosts remembers host keys.

Every step that uses the API would otherwise open an SSH connection first. A certificate is bound to the address and the
pinned SSH host key under which it was read; another one that is presented later is compared over SSH again.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING

from admin.environment import OWN

if TYPE_CHECKING:
    from admin.desired import Machine

FILE = OWN / "certificates.json"


def known(machine: Machine) -> str | None:
    """The SHA-256 fingerprint of the certificate that the machine held when it was last looked at."""
    return _read().get(_key(machine))


def remember(machine: Machine, fingerprint: str) -> None:
    """Keep what the machine holds; of two processes that write at once one is forgotten, and looks again."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=FILE.parent)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(_read() | {_key(machine): fingerprint}, stream, indent=1, sort_keys=True)
    os.replace(name, FILE)  # noqa: PTH105 - mkstemp gives a text


def _key(machine: Machine) -> str:
    return f"{machine.address} {machine.host_key}"


def _read() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(FILE.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found
