"""The lock file of a guest's configuration, on its node."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_FILES = {"qemu": "/var/lock/qemu-server/lock-{vmid}.conf", "lxc": "/run/lock/lxc/pve-config-{vmid}.lock"}
WAIT_S = 10.0


def _try(stream: IO[str], mode: int) -> bool:
    try:
        fcntl.flock(stream, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(kind: str, vmid: int, *, shared: bool = False, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold a guest's lock.

    Raises:
        PveError: somebody else holds it for longer than `wait_s` seconds.
    """
    name = _FILES[kind].format(vmid=vmid)
    file = path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with file.open("a") as stream:
        while not _try(stream, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise die(f"can't lock file '{name}' - got timeout")
            time.sleep(0.05)
        yield
