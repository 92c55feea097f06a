"""Working with the cluster file system /etc/pve: quorum, atomic writes, locks, members."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError, die
from pvelab.machine import node_name
from pvelab.paths import pve

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_WAIT_S = 10.0
READ_ATTEMPTS = 500
READ_PAUSE_SECONDS = 0.001


def quorate() -> bool:
    """Whether the cluster file system takes writes, by the same look as Proxmox: the owner's write bit of "local"."""
    try:
        mode = os.lstat(pve("local")).st_mode
    except FileNotFoundError:
        return False
    return bool(mode & stat.S_IWUSR)


def require_quorum() -> None:
    """Refuse with Proxmox's message while the cluster file system is read-only."""
    if not quorate():
        raise die("cluster not ready - no quorum?")


def read(relative: str) -> str:
    """The text of a file in /etc/pve, empty when there is none.

    A file that is replaced between the kernel's look at its name and its opening is reported missing by FUSE, on
    Proxmox as well (there the tools ask pmxcfs through a socket): who sees it still listed looks again.
    """
    for _ in range(READ_ATTEMPTS):
        try:
            return pve(relative).read_text()
        except FileNotFoundError:
            if not is_listed(relative):
                break
            time.sleep(READ_PAUSE_SECONDS)  # whoever replaces it may be waiting for a processor
    return ""


def is_listed(relative: str) -> bool:
    """Whether the file's directory lists it: its own attributes are missed, too, while it is replaced."""
    target = pve(relative)
    try:
        return target.name in os.listdir(target.parent)  # noqa: PTH208 - the names are what is looked for
    except FileNotFoundError:
        return False


def write(relative: str, text: str) -> None:
    """Replace a file in /etc/pve in one step; the file system itself gives it its mode."""
    replace_file(pve(relative), text)


def replace_file(target: Path, text: str, mode: int | None = None) -> None:
    """Write a file through a temporary one beside it, so that no reader sees half of it.

    Raises:
        PveError: the file system refuses the write (no quorum, no space).
    """
    try:
        handle, name = _beside(target)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        if mode is not None:
            Path(name).chmod(mode)
        Path(name).rename(target)
    except OSError as error:
        raise die(f"unable to open file '{target}.tmp.{os.getpid()}' - {error.strerror}") from error


def _beside(target: Path) -> tuple[int, str]:
    """An open temporary file beside the target, whose directory is nearly always there."""
    try:
        return tempfile.mkstemp(prefix=f"{target.name}.tmp.", dir=target.parent)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(prefix=f"{target.name}.tmp.", dir=target.parent)


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock of the whole cluster, such as "file-user_cfg", as a directory below priv/lock.

    Raises:
        PveError: no quorum, or somebody else holds it for longer than Proxmox waits (10 s).
    """
    directory = pve(f"priv/lock/{name}")
    if not quorate():
        raise die(f"cfs-lock '{name}' error: no quorum!")
    _acquire(directory, name)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _acquire(directory: Path, name: str) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    directory.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            directory.mkdir()
        except FileExistsError:
            _drop_stale(directory)
        else:
            return
        if time.monotonic() > deadline:
            raise die(f"cfs-lock '{name}' error: got lock request timeout")
        time.sleep(0.1)


def _drop_stale(directory: Path) -> None:
    """Time 0 asks pmxcfs to remove a lock that nobody renewed for its timeout."""
    with contextlib.suppress(OSError):
        os.utime(directory, (0, 0))


def members() -> dict[str, dict[str, Any]]:
    """The cluster's nodes by name with "id", "online" and "ip"; just this node where there is no cluster."""
    text = read(".members")
    nodelist: dict[str, dict[str, Any]] = json.loads(text).get("nodelist", {}) if text else {}
    return nodelist or {node_name(): {"id": 0, "online": 1}}


def told() -> set[str]:
    """The nodes whose pvestatd has reported their state."""
    return {line.partition("/")[2].rstrip(":") for line in read(".rrd").splitlines()}


def node_address(name: str) -> str:
    """The address that a member's API answers on.

    Raises:
        PveError: there is no such member.
    """
    member = members().get(name)
    if member is None:
        raise PveError(
            500, f"hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
        )
    return str(member.get("ip") or "127.0.0.1")
