"""Cluster-wide locks: directories below priv/lock that expire when their holder stops renewing them."""

from __future__ import annotations

import os
import shutil
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOCK_DIRECTORY = "/priv/lock"
LOCK_TIMEOUT_SECONDS = 120.0
_AGENT_PREFIX = "ha_"


class LockTable:
    """Remembers since when each lock has been unchanged, as seen from this node."""

    def __init__(self, agent_timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch locks.

        Args:
            agent_timeout: seconds without renewal after which a lock of an HA agent may be taken away. They follow
                the lab's pace; what other locks guard takes as long as it takes, so they keep Proxmox' 120 s.
            clock: seconds that only grow.
        """
        self._agent_timeout = agent_timeout
        self._clock = clock
        self._first_seen: dict[Path, tuple[int, float]] = {}
        self._guard = threading.Lock()

    def release_if_expired(self, lock: Path) -> None:
        """Remove a lock that nobody renewed for the whole timeout.

        The timeout starts when this node first sees the lock as it is: another node's clock is not trusted.
        """
        with self._guard:
            try:
                stamp = os.stat(lock).st_mtime_ns  # noqa: PTH116 - called by every waiter, several times a second
            except FileNotFoundError:
                self._first_seen.pop(lock, None)
                return
            now = self._clock()
            seen_stamp, since = self._first_seen.get(lock, (None, now))
            if seen_stamp != stamp:
                since = now
            self._first_seen[lock] = (stamp, since)
            timeout = self._agent_timeout if lock.name.startswith(_AGENT_PREFIX) else LOCK_TIMEOUT_SECONDS
            if now - since >= timeout:
                del self._first_seen[lock]
                shutil.rmtree(lock, ignore_errors=True)
