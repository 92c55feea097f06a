"""The container template that the lab offers for download: an archive of a system's identity, since containers here are processes.

It is the same to the byte in every lab, so that a stack file can hold its checksum.
"""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAME = "debian-13-standard_13.1-2_amd64.tar.zst"
FILES = {
    "etc/debian_version": "13.1\n",
    "usr/lib/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n',
}


def write(path: Path) -> None:
    """Write the archive."""
    path.write_bytes(_zstandard(_archive()))


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _zstandard(content: bytes) -> bytes:
    """A frame of one block that is stored as it is (RFC 8878), so that no program's release decides about the bytes."""
    single_segment_of_two_bytes = b"\x60"
    size = (len(content) - 256).to_bytes(2, "little")
    last_block = (len(content) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd" + single_segment_of_two_bytes + size + last_block + content
