"""The storage types that something here stands in for, with their options (pve-storage's plugins)."""

from __future__ import annotations

from dataclasses import dataclass

_FILE_OPTIONS = (
    *("path", "content-dirs", "nodes", "disable", "prune-backups", "max-protected-backups", "content", "format"),
    *("mkdir", "create-base-path", "create-subdirs", "bwlimit", "preallocation", "snapshot-as-volume-chain"),
)
_FILE_CONTENT = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import")


@dataclass(frozen=True)
class Type:
    """One storage type: its options, those that must be given and never change, and what may lie on it."""

    options: tuple[str, ...]
    required: tuple[str, ...]
    content: tuple[str, ...]
    default_content: str
    file_based: bool
    always_shared: bool = False

    @property
    def fixed(self) -> tuple[str, ...]:
        """Options that cannot be changed once the storage exists."""
        return (*self.required, "snapshot-as-volume-chain")


TYPES = {
    "dir": Type(
        ("shared", "is_mountpoint", *_FILE_OPTIONS),
        ("path",),
        (*_FILE_CONTENT, "none"),
        "images,rootdir",
        file_based=True,
    ),
    "nfs": Type(
        ("server", "export", "options", *_FILE_OPTIONS),
        ("path", "server", "export"),
        _FILE_CONTENT,
        "images",
        file_based=True,
        always_shared=True,
    ),
    "lvmthin": Type(
        ("thinpool", "vgname", "nodes", "disable", "content", "bwlimit"),
        ("thinpool", "vgname"),
        ("images", "rootdir"),
        "images,rootdir",
        file_based=False,
    ),
}
