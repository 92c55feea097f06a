"""Mounting shared storage: what stands in for NFS where the kernel has none.

The server is asked over the network, at NFS's port, whether this machine may have a directory; a yes names the
directory of the lab's shared world that holds it, which is then bind-mounted. So a cut storage network, a stopped
server and a missing export all look as they would.
"""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.paths import path

if TYPE_CHECKING:
    from pathlib import Path

PORT = 2049
TIMEOUT_S = 2.0
WORLD_EXPORTS = "/run/pve-lab/world/exports"


def ask(server: str, export: str) -> str | None:
    """Ask a server for a directory.

    Returns:
        Its place below the world's exports, None when the server refuses this machine.

    Raises:
        OSError: the server does not answer.
    """
    with socket.create_connection((server, PORT), timeout=TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(f"MOUNT {export}\n".encode())
        with connection.makefile() as lines:
            word, _, rest = lines.readline().strip().partition(" ")
    return rest if word == "OK" else None


def is_mounted(target: Path) -> bool:
    """Whether something is mounted at the directory."""
    return target.is_mount()


def mount(server: str, export: str, target: str) -> None:
    """Mount an export.

    Raises:
        PveError: the server does not answer or refuses.
    """
    where = path(target)
    try:
        place = ask(server, export)
    except OSError as error:
        raise die(f"mount error: mount.nfs: {error.strerror or 'Connection timed out'}") from error
    if place is None:
        raise die(f"mount error: mount.nfs: access denied by server while mounting {server}:{export}")
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", path(WORLD_EXPORTS) / place, where], check=True, capture_output=True)


def unmount(target: str) -> None:
    """Let go of a mount, busy or not."""
    if path(target).is_mount():
        subprocess.run(["umount", "--lazy", path(target)], check=True, capture_output=True)
