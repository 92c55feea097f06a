"""The volumes of a guest, all together."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pvelab.errors import PveError, die
from pvelab.guests import drives
from pvelab.storage import activation, images, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pvelab.guests.registry import Guest


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


@contextmanager
def removed_on_failure(guest: Guest) -> Iterator[list[str]]:
    """Remove a new guest's configuration when the work on it fails, with the volumes that it has noted in the list."""
    made: list[str] = []
    try:
        yield made
    except Exception:
        for volid in made:
            with suppress(PveError):
                images.free(volid)
        guest.file.unlink(missing_ok=True)
        raise


def make(guest: Guest, wanted: Mapping[str, str], made: list[str]) -> dict[str, str]:
    """Make the volumes that a guest's drives ask for, and note each in `made`; the drives as configured."""
    result = {}
    for drive in drives.drives(guest.kind, wanted):
        done = drives.make(drive, guest.vmid)
        if done.volume != drive.volume:
            made.append(done.volume)
        result[drive.key] = done.text()
    return result
