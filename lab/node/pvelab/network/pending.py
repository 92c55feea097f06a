"""The current network configuration and the one that waits for a reload."""

from __future__ import annotations

import fcntl
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import die
from pvelab.network import interfaces
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pvelab.network.interfaces import Interfaces
    from pvelab.tasks import Log

CURRENT = "/etc/network/interfaces"
NEW = "/etc/network/interfaces.new"
LOCK = "/etc/network/.pve-interfaces.lock"


def _text(name: str) -> str:
    try:
        return path(name).read_text()
    except FileNotFoundError:
        return ""


def _add_cards(found: Interfaces) -> Interfaces:
    """Network cards that nobody configured are shown all the same."""
    for device in sorted(entry.name for entry in path("/sys/class/net").iterdir()):
        if interfaces.PHYSICAL.fullmatch(device) and device not in found.by_name:
            found.at(device).families["inet"] = interfaces.Family("manual")
    return found


def load() -> Interfaces:
    """The configuration with what waits."""
    try:
        # Opened without a look whether it is there: a reload takes it away (PVE::INotify does the same).
        text = path(NEW).read_text()
    except FileNotFoundError:
        text = _text(CURRENT)
    return _add_cards(interfaces.parse(text))


@contextmanager
def change() -> Iterator[Interfaces]:
    """Change the waiting configuration; written when the block ends without an error."""
    with path(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = load()
        yield found
        cfs.replace_file(path(NEW), interfaces.render(found), mode=0o644)


def revert() -> None:
    """Forget what waits."""
    path(NEW).unlink(missing_ok=True)


def check_reloadable() -> None:
    """Refuse a reload without the tool for it."""
    if not path("/usr/share/ifupdown2").exists():
        raise die("you need ifupdown2 to reload network configuration")


def reload(log: Log) -> None:
    """Make what waits the current configuration and bring it up.

    Raises:
        PveError: ifreload failed; its errors are in the log.
    """
    with suppress(FileNotFoundError):  # nothing waits, or another reload has just taken it
        path(NEW).rename(path(CURRENT))
    done = subprocess.run(["ifreload", "-a"], capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        log(line)
    if done.returncode:
        raise die(f"command 'ifreload -a' failed: exit code {done.returncode}")
