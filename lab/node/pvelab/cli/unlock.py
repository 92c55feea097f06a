"""`qm unlock` and `pct unlock`: take an operation's lock off a guest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.cli.tool import FAILED
from pvelab.errors import PveError
from pvelab.guests import conf, registry
from pvelab.guests.locking import locked

if TYPE_CHECKING:
    from collections.abc import Sequence


def unlock(kind: str, arguments: Sequence[str]) -> int:
    """Remove the lock; the exit code."""
    if len(arguments) != 1 or not arguments[0].isdigit():
        sys.stderr.write("400 not enough arguments\n")
        return FAILED
    try:
        guest = registry.require_local(kind, int(arguments[0]))
        cfs.require_quorum()
        with locked(kind, guest.vmid):
            config = conf.load(guest)
            config.options.pop("lock", None)
            conf.save(guest, config)
    except PveError as error:
        sys.stderr.write(f"{error.message}\n")
        return FAILED
    return 0
