"""A directory that plays the root of one node, for the stand-ins that only read and write files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import cfs, paths

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NODE = "pve1"
MEMBERS = {
    name: {"id": number, "online": 1, "ip": f"10.10.1.10{number}"}
    for number, name in enumerate(("pve1", "pve2", "pve3"), 1)
}


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the stand-ins to a directory with a mounted /etc/pve of a three-node cluster; give back /etc/pve."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(cfs, "members", lambda: MEMBERS)
    pve = tmp_path / "etc/pve"
    for name in MEMBERS:
        for kind in ("qemu-server", "lxc"):
            (pve / "nodes" / name / kind).mkdir(parents=True)
    (pve / "local").symlink_to(f"nodes/{NODE}")
    (pve / "priv").mkdir()
    (pve / "ha").mkdir()
    return pve
