"""What a volume's name means, and where its file is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvelab.errors import die
from pvelab.paths import path
from pvelab.storage import config

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.storage.config import Storage

# Thin pools are a stand-in: one file for each logical volume, by volume group, which owns the names.
LVM_ROOT = "/var/lib/pve-lab/lvm"
ISO = r"[^/]+\.(?:iso|img)"
TEMPLATE = r"[^/]+\.tar\.(?:gz|xz|zst|bz2)"
IMPORT = r"[A-Za-z0-9_.+=@~-]+\.(?:ova|ovf|qcow2|raw|vmdk)"
_DIRECTORIES = {
    "images": "images",
    "iso": "template/iso",
    "vztmpl": "template/cache",
    "backup": "dump",
    "snippets": "snippets",
    "import": "import",
}
_FILES = {
    "iso": rf"iso/({ISO})",
    "vztmpl": rf"vztmpl/({TEMPLATE})",
    "backup": r"backup/([^/]+\.(?:vma|tar)(?:\.(?:gz|lzo|zst))?)",
    "snippets": r"snippets/([^/]+)",
    "import": rf"import/({IMPORT})",
}
_IMAGE = re.compile(
    r"(?:\d+/(?P<base>base-[^/\s]+)/)?(?P<owner>\d+)/(?P<name>[^/\s]+\.(?P<format>raw|qcow2|vmdk|subvol))"
)
_LOGICAL = re.compile(r"(?:vm|base)-(?P<owner>\d+)-\S+")


@dataclass(frozen=True)
class Volume:
    """A volume, by the meaning of its name.

    Attributes:
        storage: the storage it lies on.
        name: its name there, "iso/debian.iso" or "100/vm-100-disk-0.raw".
        type: "images", "iso", "vztmpl", "backup", "snippets" or "import".
        owner: the guest it belongs to, of images.
        format: "raw", "qcow2", …; "iso" of an ISO image.
        relative: its path below the storage's directory.
    """

    storage: Storage
    name: str
    type: str
    owner: int | None
    format: str
    relative: str

    @property
    def volid(self) -> str:
        """Storage and name, as it stands in configurations."""
        return f"{self.storage.id}:{self.name}"

    @property
    def file(self) -> Path:
        """The file that holds it on this node."""
        return directory(self.storage) / self.relative

    @property
    def shown_path(self) -> str:
        """The path that Proxmox would print."""
        if self.storage.type == "lvmthin":
            return f"/dev/{self.storage.options['vgname']}/{self.name}"
        return f"{self.storage.base_path}/{self.relative}"

    @property
    def is_base(self) -> bool:
        """Whether it belongs to a template."""
        return bool(re.search(r"(?:^|/)base-\d+-[^/]+$", self.name))


def directory(storage: Storage) -> Path:
    """The directory that holds a storage's volumes on this node."""
    if storage.type == "lvmthin":
        return path(LVM_ROOT) / storage.options["vgname"]
    return path(storage.base_path)


def content_directory(storage: Storage, content: str) -> Path:
    """Where a file based storage keeps one kind of content."""
    return directory(storage) / _DIRECTORIES[content]


def _parse_file(storage: Storage, name: str) -> Volume | None:
    for kind, pattern in _FILES.items():
        found = re.fullmatch(pattern, name)
        if found:
            suffix = "iso" if kind == "iso" else found[1].rpartition(".")[2]
            shown = {"vztmpl": f"t{suffix}", "snippets": "snippet"}.get(kind, suffix)
            return Volume(storage, name, kind, None, shown, f"{_DIRECTORIES[kind]}/{found[1]}")
    return None


def parse_name(storage: Storage, name: str) -> Volume:
    """What a name on a storage means.

    Raises:
        PveError: nothing that this storage type could hold.
    """
    if storage.type == "lvmthin":
        found = _LOGICAL.fullmatch(name)
        if found is None:
            raise die(f"unable to parse lvm volume name '{name}'")
        return Volume(storage, name, "images", int(found["owner"]), "raw", name)
    if not storage.is_file_based:
        raise die(f"unable to parse volume name '{name}'")
    image = _IMAGE.fullmatch(name)
    if image:
        relative = f"images/{image['owner']}/{image['name']}"
        return Volume(storage, name, "images", int(image["owner"]), image["format"], relative)
    volume = _parse_file(storage, name)
    if volume is None:
        raise die(f"unable to parse directory volume name '{name}'")
    return volume


def parse(volid: str) -> Volume:
    """What a volume id means.

    Raises:
        PveError: it is none, or its storage does not exist.
    """
    storage, colon, name = volid.partition(":")
    if not colon or not name:
        raise die(f"unable to parse volume ID '{volid}'")
    return parse_name(config.find(storage), name)
