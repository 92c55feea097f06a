"""A disk: what a machine has changed over the root image, and its mount."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.programs import run_async

if TYPE_CHECKING:
    from pathlib import Path


async def mount(lower: str, disk: Path, mount_point: Path) -> Path:
    """Mount the disk over its lower layers and return its root. `volatile` saves every sync: a lab need not survive its host's crash."""
    work = disk / "work"
    shutil.rmtree(work, ignore_errors=True)  # volatile refuses a work directory that was in use when the power failed
    for directory in (work, disk / "upper", mount_point):
        directory.mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={lower},upperdir={disk / 'upper'},workdir={work},volatile"
    await run_async("mount", "-t", "overlay", "-o", layers, f"disk-{disk.name}", str(mount_point))
    return mount_point


async def unmount(mount_point: Path) -> None:
    """Take the mount away; what still uses it keeps it until its end."""
    with suppress(LabError):
        await run_async("umount", "--lazy", str(mount_point))
