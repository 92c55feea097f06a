"""Keep one directory tree equal to another."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def mirror(source: Path, target: Path) -> None:
    """Make target's tree equal to source's, touching only what differs.

    Files may come and go in source meanwhile: what vanishes is left for the next round.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for entry in _entries(source):
        wanted.add(entry.name)
        _mirror_entry(entry, target / entry.name)
    for entry in _entries(target):
        if entry.name not in wanted:
            _remove(Path(entry.path))
    with contextlib.suppress(FileNotFoundError):
        _copy_times(source.stat(), target)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _mirror_entry(entry: os.DirEntry[str], target: Path) -> None:
    if entry.is_dir(follow_symlinks=False):
        if not target.is_dir():
            _remove(target)
        mirror(Path(entry.path), target)
        return
    with contextlib.suppress(FileNotFoundError):
        status = entry.stat(follow_symlinks=False)
        if target.is_dir():
            _remove(target)
        if not _same(status, target):
            partial = target.with_name(target.name + ".mirror")
            partial.write_bytes(Path(entry.path).read_bytes())
            _copy_times(status, partial)
            partial.replace(target)


def _same(status: os.stat_result, target: Path) -> bool:
    try:
        present = target.stat()
    except FileNotFoundError:
        return False
    return (status.st_mtime_ns, status.st_size) == (present.st_mtime_ns, present.st_size)


def _copy_times(status: os.stat_result, target: Path) -> None:
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
