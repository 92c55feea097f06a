"""The lock of all HA configuration."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import PveError
from pvelab.ha.requests import DOMAIN_LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def domain(failure: str) -> Iterator[None]:
    """Hold the lock.

    Args:
        failure: how the operation names its failure, put before every refusal.

    Raises:
        PveError: the lock is not to be had, or the operation refuses.
    """
    try:
        with cfs.lock(DOMAIN_LOCK):
            yield
    except PveError as error:
        raise PveError(error.status, f"{failure}: {error.message}", error.errors) from error
