"""The on-node package as one directory that holds nothing else, so that its hash depends on its code only."""

from __future__ import annotations

from pathlib import Path

from cluster.transport.shipped import SOURCE, files

STAGED = Path(".nested-pve/package/onnode")  # relative: the state must not depend on where the project lies


def stage(source: Path = SOURCE, target: Path = STAGED) -> str:
    """Bring the directory that is copied to machines up to date; its path for the engine.

    The command plugin copies directories, not lists of files, and the package's own directory has caches in it.
    """
    wanted = files(source)
    staged = list(target.rglob("*")) if target.exists() else []
    for path in sorted(staged, reverse=True):  # what is in a directory before the directory
        name = path.relative_to(target).as_posix()
        if path.is_dir():
            if not any(each.startswith(f"{name}/") for each in wanted):
                path.rmdir()
        elif name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    return str(target)
