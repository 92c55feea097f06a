"""Keep one directory tree equal to another.

Every node does this about once a second, so paths are plain strings: objects would take most of the time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def mirror(source: Path, target: Path) -> None:
    """Make target's tree equal to source's, touching only what differs.

    Files may come and go in source meanwhile: what vanishes is left for the next round.
    """
    target.mkdir(parents=True, exist_ok=True)
    _mirror(str(source), str(target))


def _mirror(source: str, target: str) -> None:
    present = {entry.name: entry for entry in _entries(target)}
    for entry in _entries(source):
        found = present.pop(entry.name, None)
        if found is not None and found.is_dir(follow_symlinks=False) != entry.is_dir(follow_symlinks=False):
            _remove(found)
            found = None
        with contextlib.suppress(FileNotFoundError):
            _mirror_entry(entry, found, f"{target}/{entry.name}")
    for gone in present.values():
        _remove(gone)
    with contextlib.suppress(FileNotFoundError):
        _copy_times(os.stat(source), target)  # noqa: PTH116 - see above


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _mirror_entry(entry: os.DirEntry[str], found: os.DirEntry[str] | None, target: str) -> None:
    if entry.is_dir(follow_symlinks=False):
        if found is None:
            os.mkdir(target)  # noqa: PTH102 - see above
        _mirror(entry.path, target)
        return
    status = entry.stat(follow_symlinks=False)
    if found is not None and _same(status, found.stat(follow_symlinks=False)):
        return
    partial = f"{target}.mirror"
    shutil.copyfile(entry.path, partial)
    _copy_times(status, partial)
    os.replace(partial, target)  # noqa: PTH105 - see above


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_mtime_ns, one.st_size) == (other.st_mtime_ns, other.st_size)


def _copy_times(status: os.stat_result, target: str) -> None:
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(entry.path)  # noqa: PTH108 - see above
