"""`status`: look, compare, tell."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from admin import description, environment
from admin.narration import out
from admin.status import table
from admin.status.look import look
from admin.status.model import Wanted, WantedGuest
from admin.status.verdict import findings
from components.config import topology
from components.config.model import VmGuest
from components.site import Site

if TYPE_CHECKING:
    from admin.description import Description


LOOK_AGAIN_S = 2.0


def status(stack: str, *, as_json: bool, patience_s: float = 0) -> bool:
    """Look at every node and show what is; whether all is as described.

    Args:
        stack: which.
        as_json: for programs.
        patience_s: for so long, what is not as described is looked at again before it is told.

    Raises:
        AdminError: the description cannot be read.
    """
    described = description.read(stack, environment.for_engine())
    wanted = wanted_of(described)
    key = described.credentials.ssh_private_key.get_secret_value()
    deadline, told = time.monotonic() + patience_s, False
    while True:
        seen = asyncio.run(look(wanted.members, key, storages=bool(wanted.storages)))
        found = findings(wanted, seen)
        if not found or time.monotonic() >= deadline:
            break
        if not told:
            amiss = f"{found[0].where}: {found[0].what}"
            out.print(f"  not as described yet ({amiss}); looking again for up to {patience_s:g} s", markup=False)
            told = True
        time.sleep(LOOK_AGAIN_S)
    if as_json:
        out.print_json(data=table.as_json(seen, found))
    else:
        table.show(out, wanted, seen, found)
    return not found


def wanted_of(described: Description) -> Wanted:
    """What the description makes one look for."""
    config = described.config
    guests = [
        WantedGuest(
            guest.name,
            f"{'vm' if isinstance(guest, VmGuest) else 'ct'}:{guest.vmid}",
            guest.ha.state,
            topology.placement_nodes(guest),
        )
        for guest in config.guests
    ]
    members = Site(config, described.credentials, described.stack).members
    storages = sorted(storage.name for storage in config.storages)
    return Wanted(described.stack, config.cluster.name, config.pve_major, members, storages, guests)
