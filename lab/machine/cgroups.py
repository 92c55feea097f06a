"""One cgroup per run of a machine, so that a hard power-off reaches every process of it, and one around the whole lab.

The lab mounts a cgroup2 hierarchy of its own (see lab.world.isolation), whatever the machine below uses; it is the same
hierarchy that the machine below shows at `mounted_root`, if it shows any.
"""

from __future__ import annotations

import time
from pathlib import Path

from lab.errors import LabError

LAB_ROOT = Path("/sys/fs/cgroup")
EMPTY_WAIT_S = 30.0


def mounted_root() -> Path | None:
    """Where the machine below the lab shows its cgroup2 hierarchy, if anywhere."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    return None


def create(identity: str, name: str, root: Path = LAB_ROOT) -> Path:
    """A new cgroup. One that was killed must not be used again: what is started in it later dies too."""
    number = 0
    while True:
        path = root / identity / f"{name}.{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def entering(path: Path, *command: str) -> list[str]:
    """The command line that runs `command` inside the cgroup from its first moment on."""
    return ["sh", "-c", f'echo $$ > "{path}/cgroup.procs" && exec "$@"', "sh", *command]


def kill(path: Path) -> None:
    """End every process below, at once, and remove the cgroups.

    Raises:
        LabError: processes-remain, after a bounded wait.
    """
    if not path.exists():
        return
    (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + EMPTY_WAIT_S
    while not _removed(path):
        if time.monotonic() > deadline:
            raise LabError(
                "processes-remain",
                f"killed processes of the lab are still there after {EMPTY_WAIT_S:.0f} s",
                observed=f"{path / 'cgroup.procs'} is not empty",
                next_step="make in-lab DO=down",
            )
        time.sleep(0.005)


def _removed(path: Path) -> bool:
    """Try to remove the tree of cgroups, innermost first; one with processes stays."""
    try:
        for directory in sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
            directory.rmdir()
        path.rmdir()
    except FileNotFoundError:
        return not path.exists()
    except OSError:
        return False
    return True
