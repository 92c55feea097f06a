"""The container template that the lab offers for download: an archive of a system's identity, since containers here are processes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lab import workshop

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

NAME = "debian-13-standard_13.1-2_amd64.tar.zst"


def write(settings: Settings, path: Path) -> None:
    """Write the archive, made by the image's own tar and zstd."""
    archive = workshop.command(
        settings, "tar", "--zstd", "-cf", "-", "-C", "/", "etc/debian_version", "usr/lib/os-release"
    )
    with path.open("wb") as output:
        subprocess.run(archive, stdout=output, check=True)
