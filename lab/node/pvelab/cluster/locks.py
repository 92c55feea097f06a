"""Serialising changes of the corosync configuration: on this node, and in the cluster."""

from __future__ import annotations

import contextlib
import fcntl
import sys
import time
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import die
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL_LOCK = "/var/lock/pvecm.lock"
WAIT_SECONDS = 10.0


@contextlib.contextmanager
def local() -> Iterator[None]:
    """One `pvecm` at a time on this node.

    Raises:
        PveError: another one holds the lock for longer than 10 s.
    """
    target = path(LOCAL_LOCK)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("a") as held:
        deadline = time.monotonic() + WAIT_SECONDS
        announced = False
        while not _try(held.fileno()):
            if not announced:
                sys.stderr.write("trying to acquire lock...\n")
                announced = True
            if time.monotonic() > deadline:
                raise die(f"can't lock file '{LOCAL_LOCK}' - got timeout")
            time.sleep(0.1)
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def configuration() -> Iterator[None]:
    """Change corosync.conf alone: a one-node cluster has nobody else to lock out.

    Raises:
        PveError: somebody else holds the lock for too long, or quorum is lost.
    """
    with local():
        if len(cfs.members()) > 1:
            with cfs.lock("file-corosync_conf"):
                yield
        else:
            yield
