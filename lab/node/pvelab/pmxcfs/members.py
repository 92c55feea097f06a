"""The generated files of /etc/pve: who belongs to the cluster, and where every guest is."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

from pvelab.corosync.conf import ConfError, CorosyncConf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_REMEMBERED_SECONDS = 0.1
_GUEST_DIRECTORIES = {"qemu-server": "qemu", "lxc": "lxc"}


@dataclasses.dataclass(frozen=True)
class ClusterView:
    """What this node knows of its cluster; `conf` is None on a stand-alone node."""

    node: str
    conf: CorosyncConf | None = None
    quorate: bool = False
    online: frozenset[int] = frozenset()
    addresses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    version: int = 0

    def render(self) -> str:
        """The text of `.members`."""
        document: dict[str, Any] = {"nodename": self.node, "version": self.version}
        if self.conf is not None:
            document["cluster"] = {
                "name": self.conf.cluster_name,
                "version": self.conf.version,
                "nodes": len(self.conf.nodes),
                "quorate": int(self.quorate),
            }
            document["nodelist"] = {name: self._entry(name) for name in self.conf.nodes}
        return _render(document)

    def _entry(self, name: str) -> dict[str, Any]:
        nodeid = self.conf.nodes[name].nodeid if self.conf else 0
        entry: dict[str, Any] = {"id": nodeid, "online": int(nodeid in self.online)}
        # pmxcfs learns a node's address from the node itself, once it was online.
        if name in self.addresses:
            entry["ip"] = self.addresses[name]
        return entry


class Remembered:
    """A generated text that stays the same for a moment: a reader asks for its size, opens it, then reads it."""

    def __init__(self, render: Callable[[], str]) -> None:
        self._render = render
        self._text = ""
        self._until = 0.0

    def __call__(self) -> str:
        """The text."""
        if time.monotonic() >= self._until:
            self._text = self._render()
            self._until = time.monotonic() + _REMEMBERED_SECONDS
        return self._text


def _render(document: dict[str, Any]) -> str:
    """One first-level key a line, as pmxcfs prints it."""
    lines = []
    for key, value in document.items():
        if key == "nodelist" or (key == "ids" and value):
            entries = ",\n".join(f'  "{name}": {_inline(entry)}' for name, entry in value.items())
            lines.append(f'"{key}": {{\n{entries}\n  }}')
        else:
            lines.append(f'"{key}": {_inline(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}": {json.dumps(item)}' for key, item in value.items()) + " }" if value else "{}"
    return json.dumps(value)


def read_conf(path: Path) -> CorosyncConf | None:
    """The tree's corosync.conf, or None while there is none that parses."""
    try:
        return CorosyncConf.parse(path.read_text())
    except (FileNotFoundError, ConfError):
        return None


def guests(root: Path) -> dict[int, dict[str, Any]]:
    """Every guest of the tree by its id: node and type."""
    found = {}
    for directory, kind in _GUEST_DIRECTORIES.items():
        for path in sorted(root.glob(f"nodes/*/{directory}/*.conf")):
            if path.stem.isdigit():
                found[int(path.stem)] = {"node": path.parts[-3], "type": kind, "version": 1}
    return found


def render_guests(root: Path) -> str:
    """The text of `.vmlist`."""
    return _render({"version": 1, "ids": {str(vmid): entry for vmid, entry in sorted(guests(root).items())}})
