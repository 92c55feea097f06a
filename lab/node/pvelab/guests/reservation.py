"""Taking a number for a new guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import die, forbidden
from pvelab.guests import conf, registry
from pvelab.guests.conf import Config

if TYPE_CHECKING:
    from pvelab.guests.registry import Guest


def reserve(guest: Guest) -> None:
    """Take the number by an empty, locked configuration, so that nobody else does.

    Raises:
        PveError: a guest has it.
    """
    with cfs.lock("file-vmlist"):
        taken = registry.guests().get(guest.vmid)
        if taken is not None:
            raise die(f"unable to create {guest.label} - {taken.label} already exists on node '{taken.node}'")
        conf.save(guest, Config({"lock": "create"}))


def refuse_pool(pool: str | None) -> None:
    """Refuse any pool: there are none here."""
    if pool:
        raise forbidden(f"pool '{pool}' does not exist")
