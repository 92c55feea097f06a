"""Commands from users to the active CRM, queued in /etc/pve."""

from __future__ import annotations

from pvelab import cfs

COMMANDS = "ha/crm_commands"
DOMAIN_LOCK = "domain-ha"


def queue(command: str) -> None:
    """Leave a command such as `migrate vm:100 pve2` for the CRM.

    Raises:
        PveError: no quorum, or the lock is not to be had.
    """
    with cfs.lock(DOMAIN_LOCK):
        cfs.write(COMMANDS, cfs.read(COMMANDS) + command + "\n")


def take() -> list[str]:
    """The queued commands; the queue is empty afterwards."""
    if not cfs.read(COMMANDS):
        return []
    with cfs.lock(DOMAIN_LOCK):
        found = cfs.read(COMMANDS).splitlines()
        cfs.write(COMMANDS, "")
    return found
