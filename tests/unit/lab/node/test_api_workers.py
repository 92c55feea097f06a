"""The processes that stand for pveproxy's workers."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.support.api_node import furnish, running
from tests.support.processes import eventually


def test_no_worker_outlives_its_server(tmp_path: Path) -> None:
    furnish(tmp_path, "pve1")
    with running(tmp_path):
        assert len(_processes_of(tmp_path)) == len(("server", "worker"))
    assert eventually(lambda: not _processes_of(tmp_path), 5)


def _processes_of(root: Path) -> set[str]:
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"PVE_LAB_ROOT={root}".encode() in environment.read_bytes().split(b"\0"):
                found.add(environment.parent.name)
    return found
