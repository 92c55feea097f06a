"""Carry the cluster's corosync.conf to the local corosync."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from pvelab.pmxcfs.members import read_conf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELOAD_DELAY_SECONDS = 1.0


def distribute(cluster_conf: Path, local_conf: Path, log: Callable[[str], None]) -> bool:
    """Copy the cluster's corosync.conf over the local one unless that is newer; whether it was written."""
    if _are_equal(cluster_conf, local_conf):
        return False
    conf = read_conf(cluster_conf)
    if conf is None:
        return False
    local = read_conf(local_conf)
    text = cluster_conf.read_text()
    if local is not None and local.version > conf.version:
        log(f"local corosync.conf is newer ({local.version} > {conf.version})")
        return False
    local_conf.parent.mkdir(exist_ok=True)
    partial = local_conf.with_name(local_conf.name + ".tmp")
    partial.write_text(text)
    partial.replace(local_conf)
    log(f"wrote new corosync config '{local_conf}' (version = {conf.version})")
    return True


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
