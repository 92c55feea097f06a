"""The node's own database of /etc/pve, which a join throws away."""

from __future__ import annotations

import gzip
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from pvelab.pmxcfs import paths

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.tasks import Log

_KEPT_BACKUPS = 10


def back_up(log: Log) -> Path:
    """Write the database as compressed SQL, in pmxcfs' own table layout."""
    paths.BACKUP_DIR.mkdir(mode=0o700, exist_ok=True)
    backup = paths.BACKUP_DIR / f"config-{int(time.time())}.sql.gz"
    log(f"backup old database to '{backup}'")
    with gzip.open(backup, "wt") as stream:
        stream.writelines(f"{line}\n" for line in _dump(paths.REPLICA_DIR))
    for old in sorted(paths.BACKUP_DIR.glob("config-*.sql.gz"))[:-_KEPT_BACKUPS]:
        old.unlink()
    return backup


def unlink() -> None:
    """Without config.db, pmxcfs starts with an empty /etc/pve."""
    paths.DATABASE.unlink(missing_ok=True)


def _dump(tree: Path) -> list[str]:
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL, version INTEGER NOT NULL, "
        "writer INTEGER NOT NULL, mtime INTEGER NOT NULL, type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB)"
    )
    inodes = {str(tree): 0}
    for directory, subdirectories, files in os.walk(tree):
        for name in sorted(subdirectories + files):
            entry = os.path.join(directory, name)  # noqa: PTH118 - os.walk speaks text
            inodes[entry] = len(inodes)
            _insert(database, entry, inodes[entry], inodes[directory])
    lines = list(database.iterdump())
    database.close()
    return lines


def _insert(database: sqlite3.Connection, entry: str, inode: int, parent: int) -> None:
    directory_type, file_type = 4, 8
    is_directory = os.path.isdir(entry)  # noqa: PTH112 - os.walk speaks text
    data = None
    if not is_directory:
        with open(entry, "rb") as stream:  # noqa: PTH123 - os.walk speaks text
            data = stream.read()
    row = (inode, parent, inode, 0, int(os.stat(entry).st_mtime), directory_type if is_directory else file_type)  # noqa: PTH116
    database.execute("INSERT INTO tree VALUES (?,?,?,?,?,?,?,?)", (*row, os.path.basename(entry), data))  # noqa: PTH119
