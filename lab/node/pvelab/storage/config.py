"""The storages of a cluster: /etc/pve/storage.cfg."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvelab import cfs, sections
from pvelab.errors import die
from pvelab.machine import node_name
from pvelab.storage.types import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pvelab.sections import Section

FILE = "storage.cfg"


@dataclass(frozen=True)
class Storage:
    """One storage as configured."""

    id: str
    type: str
    options: dict[str, str]

    @property
    def content(self) -> list[str]:
        """What may lie on it, such as "images" or "iso"."""
        default = TYPES[self.type].default_content if self.type in TYPES else ""
        return [item for item in re.split(r"[\s,;]+", self.options.get("content", default)) if item]

    @property
    def shared(self) -> bool:
        """Whether all nodes see the same volumes."""
        return self._type_is("always_shared") or self.options.get("shared") == "1"

    @property
    def is_file_based(self) -> bool:
        """Whether its volumes are files in a directory."""
        return self._type_is("file_based")

    def _type_is(self, quality: str) -> bool:
        return self.type in TYPES and bool(getattr(TYPES[self.type], quality))

    @property
    def base_path(self) -> str:
        """The directory of a file based storage."""
        return self.options.get("path") or f"/mnt/pve/{self.id}"

    def enabled_on(self, node: str) -> bool:
        """Whether the configuration lets a node use it."""
        nodes = self.options.get("nodes")
        return self.options.get("disable") != "1" and (not nodes or node in re.split(r"[\s,;]+", nodes))


def _with_local(found: dict[str, Section]) -> dict[str, Section]:
    """Proxmox always has a storage "local", configured or not."""
    if "local" in found:
        return found
    options = {"path": "/var/lib/vz", "content": "backup,iso,vztmpl,import"}
    return {"local": sections.Section("dir", "local", options), **found}


def load() -> dict[str, Storage]:
    """All storages by id."""
    found = _with_local(sections.parse(cfs.read(FILE)))
    return {name: Storage(section.id, section.type, section.options) for name, section in found.items()}


def digest() -> str:
    """The digest of the configuration file."""
    return sections.digest(cfs.read(FILE))


def find(name: str) -> Storage:
    """A storage by id.

    Raises:
        PveError: there is none.
    """
    storage = load().get(name)
    if storage is None:
        raise die(f"storage '{name}' does not exist")
    return storage


def usable(name: str, node: str | None = None) -> Storage:
    """A storage that the configuration lets a node use; this node when none is named.

    Raises:
        PveError: it does not exist, is disabled, or is not for that node.
    """
    storage = find(name)
    where = node or node_name()
    if storage.options.get("disable") == "1":
        raise die(f"storage '{name}' is disabled")
    if not storage.enabled_on(where):
        raise die(f"storage '{name}' is not available on node '{where}'")
    return storage


@contextmanager
def change() -> Iterator[dict[str, Section]]:
    """Change the sections under the cluster's lock; written back when the block ends without an error."""
    with cfs.lock("file-storage_cfg"):
        found = _with_local(sections.parse(cfs.read(FILE)))
        yield found
        cfs.write(FILE, sections.render(found))
