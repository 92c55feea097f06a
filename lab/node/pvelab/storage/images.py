"""Volumes of guests: allocating, copying, growing, freeing.

A volume's file holds no disk but a note: {"pve-lab-disk": identity, "size": bytes}. What a nested node keeps on its disk
is found by that identity.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.errors import die
from pvelab.paths import path
from pvelab.storage import activation, layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pvelab.storage.config import Storage
    from pvelab.storage.layout import Volume

FORMATS = ("raw", "qcow2", "vmdk", "subvol")


@contextlib.contextmanager
def _locked(storage: Storage) -> Iterator[None]:
    """Names are given out one at a time: over the whole cluster for shared storage, else on the node."""
    if storage.shared:
        with cfs.lock(f"storage-{storage.id}"):
            yield
        return
    directory = path("/var/lock/pve-manager")
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"pve-storage-{storage.id}").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def read_note(volume: Volume) -> dict[str, Any]:
    """What a volume's file says.

    Raises:
        PveError: the volume is not there.
    """
    try:
        note: dict[str, Any] = json.loads(volume.file.read_text())
    except FileNotFoundError as error:
        raise die(f"volume '{volume.volid}' does not exist") from error
    return note


def _write_note(volume: Volume, note: dict[str, Any]) -> None:
    volume.file.parent.mkdir(parents=True, exist_ok=True)
    volume.file.write_text(json.dumps(note))


def exists(volid: str) -> bool:
    """Whether the volume is there for this node."""
    return layout.parse(volid).file.exists()


def size(volid: str) -> int:
    """The size in bytes of a guest's disk or of a file."""
    volume = layout.parse(volid)
    if volume.type == "images":
        return int(read_note(volume)["size"])
    try:
        return volume.file.stat().st_size
    except FileNotFoundError as error:
        raise die(f"volume '{volid}' does not exist") from error


def virtual_size(volid: str) -> int:
    """How large a disk an image makes, in bytes: a guest's disk, or a file to import (qcow2 has it in its header)."""
    volume = layout.parse(volid)
    if volume.type == "images" or not volume.file.exists():
        return size(volid)
    with volume.file.open("rb") as stream:
        header = stream.read(32)
    return int.from_bytes(header[24:32], "big") if header.startswith(b"QFI\xfb") else volume.file.stat().st_size


def _taken(storage: Storage, vmid: int) -> set[str]:
    directory = layout.directory(storage)
    if storage.is_file_based:
        directory = directory / "images" / str(vmid)
    if not directory.is_dir():
        return set()
    return {entry.name for entry in directory.iterdir()}


def _free_name(storage: Storage, vmid: int, prefix: str = "vm") -> str:
    """The next name without a suffix; templates and guests count together."""
    taken = {re.sub(r"^base-|^subvol-", "vm-", name).partition(".")[0] for name in _taken(storage, vmid)}
    number = 0
    while f"vm-{vmid}-disk-{number}" in taken:
        number += 1
    return f"{prefix}-{vmid}-disk-{number}"


def _full_name(storage: Storage, vmid: int, name: str, fmt: str) -> str:
    return f"{vmid}/{name}.{fmt}" if storage.is_file_based else name


def default_format(storage: Storage) -> str:
    """The format a storage gives when none is asked for."""
    return storage.options.get("format", "raw") if storage.is_file_based else "raw"


def _check_format(storage: Storage, fmt: str) -> None:
    if fmt not in FORMATS or (not storage.is_file_based and fmt != "raw"):
        raise die(f"unsupported format '{fmt}'")


def _check_space(storage: Storage, needed: int) -> None:
    """Thick or not, Proxmox refuses what can never fit only on LVM; a thin pool overcommits, a file is sparse."""
    if needed <= 0:
        raise die(f"unable to create image: illegal size '{needed}' on storage '{storage.id}'")


def allocate(storage_id: str, vmid: int, size_bytes: int, fmt: str | None = None, **facts: str) -> str:
    """Make a new, empty volume for a guest; gives back its volume id.

    Args:
        storage_id: where.
        vmid: for whom.
        size_bytes: how large it shows itself.
        fmt: "raw", "qcow2", …; the storage's own when None.
        facts: further texts for its note; "name" replaces the numbered disk name ("cloudinit").

    Raises:
        PveError: the storage cannot be used, or does not know the format.
    """
    storage = activation.activate(storage_id)
    chosen = fmt or default_format(storage)
    _check_format(storage, chosen)
    _check_space(storage, size_bytes)
    fixed = facts.pop("name", None)
    with _locked(storage):
        prefix = "subvol" if chosen == "subvol" else "vm"
        own = f"vm-{vmid}-{fixed}" if fixed else _free_name(storage, vmid, prefix)
        volume = layout.parse_name(storage, _full_name(storage, vmid, own, chosen))
        _write_note(volume, {"pve-lab-disk": str(uuid.uuid4()), "size": size_bytes, **facts})
    return volume.volid


def users(volume: Volume) -> list[str]:
    """The linked clones that need a base volume."""
    if not volume.is_base or not volume.storage.is_file_based:
        return []
    base = volume.name.rpartition("/")[2]
    images = layout.directory(volume.storage) / "images"
    found = []
    for file in images.glob("*/vm-*"):
        with contextlib.suppress(ValueError):
            if json.loads(file.read_text()).get("base") == base:
                found.append(file.name)
    return found


def free(volid: str) -> None:
    """Remove a volume; a file that is gone already is fine, a logical volume is not.

    Raises:
        PveError: its storage cannot be used, linked clones need it, or there is no such logical volume.
    """
    volume = layout.parse(volid)
    activation.activate(volume.storage.id)
    with _locked(volume.storage):
        if users(volume):
            raise die(f"base volume '{volume.name}' is still in use by linked clones")
        if not volume.storage.is_file_based and not volume.file.exists():
            shown = f"{volume.storage.options['vgname']}/{volume.name}"
            raise die(f"lvremove '{shown}' error:   Failed to find logical volume \"{shown}\"")
        volume.file.unlink(missing_ok=True)
        if volume.type == "images" and volume.storage.is_file_based:
            with contextlib.suppress(OSError):
                volume.file.parent.rmdir()


def clone_linked(volid: str, vmid: int) -> str:
    """A volume that only keeps its differences from a template's; gives back its volume id.

    Raises:
        PveError: the source is no template's volume.
    """
    source = layout.parse(volid)
    storage = activation.activate(source.storage.id)
    if not source.is_base:
        raise die("clone_image only works on base images")
    note = read_note(source)
    with _locked(storage):
        name = _free_name(storage, vmid)
        if storage.is_file_based:
            base = source.name.rpartition("/")[2]
            target = layout.parse_name(storage, f"{source.owner}/{base}/{vmid}/{name}.qcow2")
        else:
            base, target = source.name, layout.parse_name(storage, name)
        _write_note(target, {**note, "pve-lab-disk": str(uuid.uuid4()), "base": base})
    return target.volid


def copy(volid: str, storage_id: str, vmid: int, fmt: str | None = None) -> str:
    """A full copy of a volume, possibly on another storage; gives back its volume id."""
    source = layout.parse(volid)
    activation.activate(source.storage.id)
    note = read_note(source)
    facts = {key: value for key, value in note.items() if key not in ("pve-lab-disk", "size", "base")}
    kept = source.format if fmt is None and source.storage.is_file_based else fmt
    target_is_file = activation.activate(storage_id).is_file_based
    return allocate(storage_id, vmid, int(note["size"]), kept if target_is_file else None, **facts)


def to_base(volid: str) -> str:
    """Rename a guest's volume to a template's; gives back the new volume id."""
    volume = layout.parse(volid)
    storage = activation.activate(volume.storage.id)
    name = re.sub(r"(^|/)(?:vm|subvol)-(?=\d+-[^/]+$)", r"\1base-", volume.name)
    # What was a linked clone becomes a base of its own.
    name = re.sub(r"^\d+/base-[^/]+/(?=\d+/)", "", name) if storage.is_file_based else name
    target = layout.parse_name(storage, name)
    read_note(volume)
    with _locked(storage):
        volume.file.rename(target.file)
    return target.volid


def resize(volid: str, size_bytes: int) -> None:
    """Grow a volume."""
    volume = layout.parse(volid)
    activation.activate(volume.storage.id)
    _write_note(volume, {**read_note(volume), "size": size_bytes})
