"""What the node's package database says about Proxmox's own packages."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pvelab.paths import ROOT

# The build's commit, which a package version does not carry; the lab's packages have no real one.
REPO_ID = "aa7db891073e78fe"


def _query(pattern: str) -> dict[str, str]:
    done = subprocess.run(
        ["dpkg-query", f"--root={ROOT}", "-W", "-f=${db:Status-Status} ${Package} ${Version}\\n", pattern],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[1]: row[2] for row in rows if row and row[0] == "installed"}


def installed(pattern: str) -> dict[str, str]:
    """Installed packages that match a pattern such as "proxmox-kernel-*", with their versions."""
    return _query(pattern)


def manager_version() -> tuple[str, str]:
    """The version of pve-manager and the short commit it was built from."""
    return installed("pve-manager").get("pve-manager", "9.1.2"), REPO_ID


def running_kernel() -> str:
    """The running kernel's release, as "6.14.8-2-pve"."""
    return Path("/proc/sys/kernel/osrelease").read_text().strip()
