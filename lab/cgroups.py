"""One cgroup per run of a machine, so that a hard power-off reaches every process of it.

The lab mounts a cgroup2 hierarchy of its own (see lab.isolation), whatever the machine below uses.
"""

from __future__ import annotations

import time
from pathlib import Path

LAB_ROOT = Path("/sys/fs/cgroup")
EMPTY_WAIT_S = 5.0


def create(identity: str, name: str) -> Path:
    """A new cgroup. One that was killed must not be used again: what is started in it later dies too."""
    number = 0
    while True:
        path = LAB_ROOT / identity / f"{name}.{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def kill(path: Path) -> None:
    """End every process below, at once, and remove the cgroup when it is empty (bounded wait)."""
    if not path.exists():
        return
    (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + EMPTY_WAIT_S
    while "populated 1" in (path / "cgroup.events").read_text() and time.monotonic() < deadline:
        time.sleep(0.005)
    remove_empty(path)


def remove_empty(path: Path) -> None:
    """Remove a tree of cgroups without processes."""
    for directory in sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        directory.rmdir()
    path.rmdir()


def mounted_root() -> Path | None:
    """Where the machine below the lab shows its cgroup2 hierarchy, if anywhere."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    return None
