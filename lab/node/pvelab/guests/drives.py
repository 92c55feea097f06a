"""The drives of a virtual machine and the mount points of a container, as their configurations describe them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pvelab import propstring, sizes
from pvelab.errors import die
from pvelab.storage import config, images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pvelab.api.context import Context

_KEYS = {
    "qemu": re.compile(r"ide[0-3]|sata[0-5]|scsi(?:[0-9]|[12][0-9]|30)|virtio(?:[0-9]|1[0-5])|efidisk0|tpmstate0"),
    "lxc": re.compile(r"rootfs|mp\d+"),
}
_DEFAULT_KEY = {"qemu": "file", "lxc": "volume"}
# "local-lvm:32" or "32": a disk of so many GiB to be made.
_NEW = re.compile(r"(?:(?P<storage>[^/:\s]+):)?(?P<size>\d+(?:\.\d+)?)")
# What these need is fixed, whatever is asked for.
_FIXED_BYTES = {"efidisk0": 528 << 10, "tpmstate0": 4 << 20}
CLOUD_INIT_BYTES = 4 << 20


@dataclass(frozen=True)
class Drive:
    """One drive: its slot, its volume (or "none", "cdrom", a path), and its further properties."""

    kind: str
    key: str
    volume: str
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def is_cdrom(self) -> bool:
        """Whether it is a CD drive, which a cloud-init disk is as well."""
        return self.properties.get("media") == "cdrom" or self.volume == "cdrom"

    @property
    def is_cloud_init(self) -> bool:
        """Whether it carries cloud-init data, made by Proxmox itself."""
        return bool(re.search(r"(?::|vm-\d+-)cloudinit", self.volume))

    @property
    def has_volume(self) -> bool:
        """Whether it is a volume of a storage."""
        return ":" in self.volume and not self.volume.startswith("/")

    @property
    def holds_guest_data(self) -> bool:
        """Whether its volume belongs to the guest, and goes with it."""
        return self.has_volume and (not self.is_cdrom or self.is_cloud_init)

    def text(self) -> str:
        """The configuration's value."""
        default = _DEFAULT_KEY[self.kind]
        return propstring.render({default: self.volume, **self.properties}, default)

    def with_volume(self, volid: str, **changes: str) -> Drive:
        """The same drive on another volume."""
        return Drive(self.kind, self.key, volid, {**self.properties, **changes})


def is_key(kind: str, key: str) -> bool:
    """Whether an option is a drive."""
    return bool(_KEYS[kind].fullmatch(key))


def parse(kind: str, key: str, value: str) -> Drive:
    """Read a drive's value."""
    default = _DEFAULT_KEY[kind]
    properties = propstring.parse(value, default)
    volume = properties.pop(default, "")
    return Drive(kind, key, volume, properties)


def _natural(key: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\D+)(\d*)", key)
    return (found[1], int(found[2] or 0)) if found else (key, 0)


def drives(kind: str, options: Mapping[str, str]) -> Iterator[Drive]:
    """The drives of a configuration, in the order of their slots."""
    for key in sorted(options, key=_natural):
        if is_key(kind, key):
            yield parse(kind, key, options[key])


def unused(options: Mapping[str, str]) -> dict[str, str]:
    """The volumes that belong to a guest but are not attached, by their option."""
    return {key: value for key, value in options.items() if re.fullmatch(r"unused\d+", key)}


def next_unused(options: Mapping[str, str]) -> str:
    """The first free option for a detached volume."""
    number = 0
    while f"unused{number}" in options:
        number += 1
    return f"unused{number}"


def requested_size(drive: Drive) -> tuple[str | None, int] | None:
    """Storage and size in bytes of a disk to be made, or None when the drive names what exists."""
    found = _NEW.fullmatch(drive.volume)
    if not found or drive.is_cdrom:
        return None
    return found["storage"], _FIXED_BYTES.get(drive.key) or int(float(found["size"]) * sizes.GIB)


def check_storage(kind: str, storage_id: str) -> None:
    """Refuse a storage that may not hold disks of this kind of guest."""
    storage = config.usable(storage_id)
    wanted = "images" if kind == "qemu" else "rootdir"
    if wanted not in storage.content:
        name = "vm images" if kind == "qemu" else "container directories"
        raise die(f"storage '{storage_id}' does not support {name}")


def placed(ctx: Context, drive: Drive, default_storage: str | None) -> Drive | None:
    """A drive to be made with its storage, on which the caller may have it; None for one that names what exists.

    Raises:
        PveError: storage missing or of the wrong kind, no permission.
    """
    request = requested_size(drive)
    if request is None:
        return None
    storage = request[0] or default_storage
    if storage is None:
        raise die("no storage ID specified (and no default storage)")
    ctx.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    check_storage(drive.kind, storage)
    return replace(drive, volume=f"{storage}:{drive.volume.rpartition(':')[2]}")


def make(drive: Drive, vmid: int) -> Drive:
    """Make the volume that a drive asks for, or look at the one it names; gives back the drive as configured.

    Raises:
        PveError: its storage cannot be used, or the volume does not exist.
    """
    if drive.volume.endswith(":cloudinit"):
        return _make_cloud_init(drive, vmid)
    if "import-from" in drive.properties:
        return _import(drive, vmid)
    request = requested_size(drive)
    properties = {key: value for key, value in drive.properties.items() if key not in ("format", "size")}
    if request is not None:
        storage, size = request
        if storage is None:
            raise die("no storage ID specified (and no default storage)")
        volid = images.allocate(storage, vmid, size, drive.properties.get("format"))
        return Drive(drive.kind, drive.key, volid, {**properties, "size": sizes.render(size)})
    if not drive.has_volume:
        return Drive(drive.kind, drive.key, drive.volume, properties)
    return Drive(drive.kind, drive.key, drive.volume, {**properties, "size": sizes.render(images.size(drive.volume))})


def _make_cloud_init(drive: Drive, vmid: int) -> Drive:
    storage = drive.volume.partition(":")[0]
    fmt = drive.properties.get("format")
    volid = images.allocate(storage, vmid, CLOUD_INIT_BYTES, fmt, name="cloudinit")
    return Drive(drive.kind, drive.key, volid, {"media": "cdrom"})


def _import(drive: Drive, vmid: int) -> Drive:
    """A new disk with the content of an existing image."""
    storage = drive.volume.partition(":")[0]
    source = drive.properties["import-from"]
    size = images.virtual_size(source)
    volid = images.allocate(storage, vmid, size, drive.properties.get("format"), source=source)
    skip = ("format", "size", "import-from")
    properties = {key: value for key, value in drive.properties.items() if key not in skip}
    return Drive(drive.kind, drive.key, volid, {**properties, "size": sizes.render(size)})
