"""Changes wait in interfaces.new until they are applied or reverted; applying is a real `ifreload -a`."""

from __future__ import annotations

import fcntl
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pvelab.network import interfaces
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CURRENT = path("/etc/network/interfaces")
NEW = path("/etc/network/interfaces.new")
LOCK = path("/run/lock/pve-lab-interfaces.lock")
RELOAD_LIMIT_S = 60


def load() -> interfaces.Interfaces:
    """The configuration with what waits to be applied."""
    source = NEW if NEW.exists() else CURRENT
    return interfaces.parse(source.read_text())


@contextmanager
def change() -> Iterator[interfaces.Interfaces]:
    """Edit the waiting configuration; nothing is written when the block raises."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = load()
        yield found
        NEW.write_text(interfaces.render(found))


def revert() -> None:
    """Drop what waits."""
    NEW.unlink(missing_ok=True)


def apply(log: Callable[[str], None]) -> None:
    """Make the waiting configuration the current one, and the kernel follow it.

    Raises:
        RuntimeError: `ifreload` failed.
    """
    if NEW.exists():
        NEW.replace(CURRENT)
    done = subprocess.run(["ifreload", "-a"], capture_output=True, text=True, check=False, timeout=RELOAD_LIMIT_S)
    for line in (done.stdout + done.stderr).splitlines():
        log(line)
    if done.returncode != 0:
        raise RuntimeError(f"command 'ifreload -a' failed: exit code {done.returncode}")
