"""A lock and the watchdog that guards it: who holds the lock reports, and who loses it is reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pvelab.ha.environment import Environment, Watchdog

_ATTEMPTS = 5
_ATTEMPT_SECONDS = 1.0


class LockedWatchdog:
    """Renews lock and watchdog together: the watchdog is fed only while the lock is held."""

    def __init__(self, environment: Environment, acquire: Callable[[], bool]) -> None:
        self._environment = environment
        self._acquire = acquire
        self._watchdog: Watchdog | None = None

    def acquire(self) -> bool:
        """Get or renew the lock; a holder that fails at first tries for some seconds more."""
        for attempt in range(_ATTEMPTS):
            if self._acquire():
                self._report()
                return True
            if self._watchdog is None or attempt == _ATTEMPTS - 1:
                break
            self._environment.sleep(_ATTEMPT_SECONDS)
        return False

    def _report(self) -> None:
        if self._watchdog is None:
            self._watchdog = self._environment.open_watchdog()
        else:
            self._watchdog.update()

    def close(self) -> None:
        """Nothing here needs fencing any more."""
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
