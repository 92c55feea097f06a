"""Certificates of APIs that were compared over SSH before, remembered as known_hosts remembers host keys.

Every step that uses the API would otherwise open an SSH connection first. A certificate is bound to the address and the
pinned SSH host key under which it was read; another one that is presented later is compared over SSH again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.transport import remembered
from config.paths import OWN

if TYPE_CHECKING:
    from cluster.contract import Machine

FILE = OWN / "certificates.json"


def known(machine: Machine) -> str | None:
    """The SHA-256 fingerprint of the certificate that the machine held when it was last looked at."""
    return remembered.read(FILE).get(_key(machine))


def remember(machine: Machine, fingerprint: str) -> None:
    """Keep what the machine holds."""
    remembered.add(FILE, {_key(machine): fingerprint})


def _key(machine: Machine) -> str:
    return f"{machine.address} {machine.host_key}"
