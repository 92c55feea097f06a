"""The volumes of a guest, all together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.api.errors import die
from pvelab.guests import drives
from pvelab.storage import activation, images, layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def files(kind: str, options: Mapping[str, str]) -> list[Path]:
    """The files of a guest's volumes, CDs left out; every storage must be usable and every volume there.

    Raises:
        PveError: one is not.
    """
    found = []
    for drive in drives.drives(kind, options):
        if not drive.has_volume:
            continue
        volume = layout.parse(drive.volume)
        activation.activate(volume.storage.id)
        if not images.exists(drive.volume):
            raise die(f"volume '{drive.volume}' does not exist")
        if not drive.is_cdrom:
            found.append(volume.file)
    return found
