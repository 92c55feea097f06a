"""What lies on a storage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pvelab.errors import PveError
from pvelab.guests import registry
from pvelab.storage import activation, layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pvelab.storage.config import Storage
    from pvelab.storage.layout import Volume

_NAMED = {"iso": "iso", "vztmpl": "vztmpl", "backup": "backup", "snippets": "snippets", "import": "import"}


def _image_name(file: Path, note: dict[str, Any], storage: Storage) -> str:
    if not storage.is_file_based:
        return file.name
    own = f"{file.parent.name}/{file.name}"
    base = note.get("base")
    if not base:
        return own
    return f"{base.split('-')[1]}/{base}/{own}"


def _images(storage: Storage) -> Iterator[tuple[Volume, int]]:
    root = layout.directory(storage)
    files = root.glob("images/*/*") if storage.is_file_based else root.glob("*")
    for file in sorted(files):
        try:
            note = json.loads(file.read_text())
            yield layout.parse_name(storage, _image_name(file, note, storage)), int(note["size"])
        except (ValueError, KeyError, TypeError, OSError, PveError):
            continue


def _files(storage: Storage, content: str) -> Iterator[tuple[Volume, int]]:
    directory = layout.content_directory(storage, content)
    for file in sorted(directory.iterdir()) if directory.is_dir() else ():
        try:
            volume = layout.parse_name(storage, f"{_NAMED[content]}/{file.name}")
        except PveError:
            continue
        yield volume, file.stat().st_size


def _volumes(storage: Storage) -> Iterator[tuple[Volume, int]]:
    yield from _images(storage)
    if storage.is_file_based:
        for content in _NAMED:
            yield from _files(storage, content)


def _content_type(volume: Volume) -> str:
    """Disks of containers are "rootdir", those of virtual machines "images"."""
    if volume.type != "images" or volume.owner is None:
        return volume.type
    guest = registry.guests().get(volume.owner)
    return "rootdir" if guest and guest.kind == "lxc" else "images"


def contents(storage_id: str, content: str | None = None, vmid: int | None = None) -> list[dict[str, Any]]:
    """The volumes of a storage, as the API lists them; sizes in bytes.

    Raises:
        PveError: the node cannot use the storage.
    """
    storage = activation.activate(storage_id)
    found = []
    for volume, size in _volumes(storage):
        kind = _content_type(volume)
        if kind not in storage.content or content not in (None, kind) or vmid not in (None, volume.owner):
            continue
        item: dict[str, Any] = {
            "volid": volume.volid,
            "content": kind,
            "format": volume.format,
            "size": size,
            "ctime": int(volume.file.stat().st_ctime),
        }
        if volume.owner is not None:
            item["vmid"] = volume.owner
        found.append(item)
    return sorted(found, key=lambda item: item["volid"])
