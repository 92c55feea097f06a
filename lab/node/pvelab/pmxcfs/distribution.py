"""Carry the cluster's corosync.conf to the local corosync, as pmxcfs does it (dcdb.c, dcdb_sync_corosync_conf).

It looks at the version and at nothing else: a file that corosync would not take is carried, too.
"""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELOAD_DELAY_SECONDS = 1.0
_VERSION = re.compile(r"config_version\s*:\s*(\d+)")


def distribute(cluster_conf: Path, local_conf: Path, log: Callable[[str], None]) -> bool:
    """Copy the cluster's corosync.conf over the local one unless that is newer; whether it was written."""
    if _are_equal(cluster_conf, local_conf):
        return False
    text = _read(cluster_conf)
    if not text:
        return False
    version, local = _version(text), _version(_read(local_conf))
    if not version:
        log("unable to parse cluster config_version")
        return False
    if local > version:
        log(f"local corosync.conf is newer ({local} > {version})")
        return False
    local_conf.parent.mkdir(exist_ok=True)
    partial = local_conf.with_name(local_conf.name + ".tmp")
    partial.write_text(text)
    partial.replace(local_conf)
    log(f"wrote new corosync config '{local_conf}' (version = {version})")
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _version(text: str) -> int:
    found = _VERSION.search(text)
    return int(found[1]) if found else 0


def _are_equal(one: Path, other: Path) -> bool:
    """Asked several times a second, and nearly always true: to parse both takes ten times as long."""
    try:
        return one.read_bytes() == other.read_bytes()
    except FileNotFoundError:
        return False


def reload_corosync(log: Callable[[str], None]) -> None:
    """Let the running corosync read its configuration again, once every member had time to write it."""
    time.sleep(RELOAD_DELAY_SECONDS)
    reload = subprocess.run(["corosync-cfgtool", "-R"], check=False, capture_output=True, text=True, timeout=30)
    if reload.returncode:
        log(f"corosync-cfgtool -R failed with exit code {reload.returncode}")
