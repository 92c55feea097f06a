"""The installer ISO that the lab's download server offers: tiny, and the same bytes on every machine.

Run as a program it writes the ISO to the path given and prints its SHA-256. What it installs is decided by
lab.machine.installer, which reads the copy that the program has prepared with an answer file.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from unittest import mock

import pycdlib

from lab import programs

NAME = "proxmox-ve_9.1-1.iso"
RELEASE_TIME = 1763510400  # 2025-11-19, the release of Proxmox VE 9.1: any fixed moment will do
FILES = {
    "auto-installer-capable": b"",
    ".cd-info": b"PRODUCT='pve'\nPRODUCTLONG='Proxmox VE'\nRELEASE='9.1'\nISORELEASE='1'\nISONAME='proxmox-ve'\n",
    "README.txt": b"A stand-in for the Proxmox VE installer: only the lab of this project can boot it.\n",
}


def write(path: Path) -> str:
    """Write the ISO and return its SHA-256; a process of its own gives it a fixed clock and time zone."""
    command = [sys.executable, "-m", "lab.image.installer_iso", str(path)]
    return programs.run(command, env={"TZ": "UTC"}).strip()


def _build(path: Path) -> None:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident="PVE", sys_ident="", app_ident_str="")
    for number, (name, content) in enumerate(FILES.items()):
        iso.add_fp(io.BytesIO(content), len(content), f"/FILE{number}.;1", rr_name=name, file_mode=0o100444)
    iso.write(str(path))
    iso.close()


def main() -> None:
    """Build at argv[1]."""
    path = Path(sys.argv[1])
    with mock.patch("time.time", return_value=float(RELEASE_TIME)):
        _build(path)
    print(hashlib.sha256(path.read_bytes()).hexdigest())  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
