"""The on-node package as one directory that holds nothing else, so that its hash depends on its code only."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "onnode"
STAGED = Path(".nested-pve/package/onnode")  # relative: the state must not depend on where the project lies


def stage(source: Path = SOURCE, target: Path = STAGED) -> str:
    """Bring the directory that is copied to machines up to date; its path for the engine.

    The command plugin copies directories, not lists of files, and the package's own directory has caches in it.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path.read_bytes() for path in source.glob("*.py")}
    for path in target.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = target / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    return str(target)
