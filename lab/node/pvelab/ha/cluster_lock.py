"""A lock of the whole cluster that its holder keeps renewing: a directory below /etc/pve/priv/lock."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from pvelab.ha.model import LOCK_TIMEOUT_SECONDS
from pvelab.paths import pve

if TYPE_CHECKING:
    from collections.abc import Callable


class ClusterLock:
    """One process's hold on a lock."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        """Describe the lock.

        Args:
            name: its name below priv/lock.
            clock: Proxmox' seconds.
        """
        self._directory = pve(f"priv/lock/{name}")
        self._clock = clock
        self._held_since: float | None = None

    def acquire(self) -> bool:
        """Take or renew it; a lock that its holder did not renew in time is taken over."""
        moment = self._clock()
        if self._renew(moment) or self._take():
            self._held_since = moment
            return True
        self._held_since = None
        return False

    def _renew(self, moment: float) -> bool:
        """Within the timeout nobody else can have taken it."""
        if self._held_since is None or moment - self._held_since >= LOCK_TIMEOUT_SECONDS:
            return False
        try:
            os.utime(self._directory, (0, time.time()))
        except OSError:
            return False
        return True

    def _take(self) -> bool:
        try:
            # Without priv, /etc/pve is not mounted: nothing may be made below it then.
            self._directory.parent.mkdir(exist_ok=True)
            self._directory.mkdir()
        except FileExistsError:
            # Time 0 asks pmxcfs to remove the lock if it has expired.
            with contextlib.suppress(OSError):
                os.utime(self._directory, (0, 0))
            return False
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let somebody else take it at once."""
        if self._held_since is not None:
            with contextlib.suppress(OSError):
                self._directory.rmdir()
        self._held_since = None
