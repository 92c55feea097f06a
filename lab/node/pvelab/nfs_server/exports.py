"""What this server exports: /etc/exports and /etc/exports.d, the table of what is exported now, and the directories.

The content of an exported directory lies in the lab's shared world, bound over its place here, so that a client can
bind it too. Standard library only.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

TABLE = Path("/var/lib/nfs/etab.json")
WORLD = Path("/run/pve-lab/world/exports")
CLIENT = re.compile(r"(?P<who>[^\s(]+)(\((?P<options>[^)]*)\))?")


@dataclass(frozen=True)
class Export:
    """One directory for one client or network."""

    path: str
    client: str
    options: str

    def allows(self, address: str) -> bool:
        """Whether the client at this address may have it."""
        if self.client == "*":
            return True
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(self.client, strict=False)
        except ValueError:
            return False


class ExportError(Exception):
    """exportfs refuses, in its words."""


def configured() -> list[Export]:
    """What the files ask for."""
    files = [Path("/etc/exports"), *sorted(Path("/etc/exports.d").glob("*.exports"))]
    found = []
    for file in files:
        if not file.exists():
            continue
        for raw in file.read_text().splitlines():
            path, _, clients = raw.split("#")[0].strip().partition(" ")
            for match in CLIENT.finditer(clients.strip()):
                found.append(Export(path, match["who"], match["options"] or "ro"))  # noqa: PERF401
    return found


def current() -> list[Export]:
    """What is exported now."""
    return [Export(**row) for row in json.loads(TABLE.read_text())] if TABLE.exists() else []


def place(path: str) -> str:
    """The name of an exported directory below the world's exports."""
    return f"{socket.gethostname().partition('.')[0]}{path}"


def apply(wanted: list[Export]) -> None:
    """Export exactly these.

    Raises:
        ExportError: a directory does not exist.
    """
    for export in wanted:
        if not Path(export.path).is_dir():
            raise ExportError(f"exportfs: Failed to stat {export.path}: No such file or directory")
    for path in {export.path for export in current()} - {export.path for export in wanted}:
        _give_back(path)
    for path in {export.path for export in wanted}:
        _share(path)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(json.dumps([asdict(export) for export in wanted]) + "\n")


def _share(path: str) -> None:
    shared = WORLD / place(path)
    if Path(path).is_mount():
        return
    if not shared.exists():
        shutil.copytree(path, shared, symlinks=True)
    subprocess.run(["mount", "--bind", str(shared), path], check=True)


def _give_back(path: str) -> None:
    """The content stays where it was exported from."""
    if not Path(path).is_mount():
        return
    subprocess.run(["umount", "--lazy", path], check=True)
    shared = WORLD / place(path)
    shutil.rmtree(path)
    shutil.copytree(shared, path, symlinks=True)
    shutil.rmtree(shared)
