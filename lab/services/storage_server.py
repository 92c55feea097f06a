"""The storage server of the `physical` shape: Debian with NFS exports, no Proxmox VE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.image import packages, repository, rootfs
from lab.programs import run

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

EXPORT = "/srv/pve-shared"
CLIENTS = "10.30.1.0/24"


def install(settings: Settings, root: Path) -> None:
    """Make a mounted fresh system into the server."""
    package = packages.NFS_SERVER
    (root / package.file_name).write_bytes(repository.deb_path(settings, package).read_bytes())
    run(["chroot", str(root), "dpkg", "--install", f"/{package.file_name}"])
    (root / package.file_name).unlink()
    (root / EXPORT.lstrip("/")).mkdir(parents=True)
    rootfs.write(root / "etc/exports", f"{EXPORT} {CLIENTS}(rw,sync,no_subtree_check,no_root_squash)\n")
