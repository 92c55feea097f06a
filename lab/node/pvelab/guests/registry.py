"""Which guests the cluster has, and on which node each of them is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.machine import node_name
from pvelab.paths import pve

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES = {"qemu": "qemu-server", "lxc": "lxc"}


@dataclass(frozen=True)
class Guest:
    """Where a guest's configuration is; `kind` is "qemu" or "lxc"."""

    vmid: int
    kind: str
    node: str

    @property
    def relative(self) -> str:
        """Its configuration file below /etc/pve."""
        return f"nodes/{self.node}/{DIRECTORIES[self.kind]}/{self.vmid}.conf"

    @property
    def file(self) -> Path:
        """Its configuration file."""
        return pve(self.relative)

    @property
    def word(self) -> str:
        """What messages call it: "VM" or "CT"."""
        return "VM" if self.kind == "qemu" else "CT"

    @property
    def label(self) -> str:
        """How messages name it: "VM 100" or "CT 100"."""
        return f"{self.word} {self.vmid}"

    @property
    def ha_sid(self) -> str:
        """Its name as an HA resource: "vm:100" or "ct:100"."""
        return f"{self.word.lower()}:{self.vmid}"

    @property
    def tasks(self) -> str:
        """How the types of its tasks begin: "qm" or "vz"."""
        return "qm" if self.kind == "qemu" else "vz"


def guests(node: str | None = None) -> dict[int, Guest]:
    """All guests by number, or those of one node."""
    found: dict[int, Guest] = {}
    for name in [node] if node else _names(pve("nodes")):
        for kind, directory in DIRECTORIES.items():
            for file in _names(pve(f"nodes/{name}/{directory}")):
                vmid, _, ending = file.partition(".")
                if ending == "conf" and vmid.isdigit():
                    found[int(vmid)] = Guest(int(vmid), kind, name)
    return found


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - one look at the directory, and none at what is in it
    except (FileNotFoundError, NotADirectoryError):
        return []


def require_local(kind: str, vmid: int) -> Guest:
    """A guest of this node.

    Raises:
        PveError: its configuration is not on this node.
    """
    guest = Guest(vmid, kind, node_name())
    if not guest.file.exists():
        raise die(f"Configuration file '{guest.relative}' does not exist")
    return guest
