"""Holding a stack without an engine: the engine and our own commands see it, and a killed holder stands in nobody's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.backend import locks, run_record
from cli.backend.held import held
from cluster.errors import AdminError
from tests.unit.cli.backend.test_locks import write

if TYPE_CHECKING:
    from pathlib import Path

STACK = "dev"
HOLDER = """\
import sys, time
from pathlib import Path
from cli.backend.held import held
with held(Path(sys.argv[1]), "dev"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_it_is_held_in_the_engines_form_and_let_go(tmp_path: Path) -> None:
    with held(tmp_path, STACK):
        (lock,) = locks.find(tmp_path, STACK)
        assert lock.pid == os.getpid()
        assert set(json.loads(lock.path.read_text())) == {"pid", "username", "hostname", "timestamp"}
        record = run_record.read(tmp_path, STACK)
        with pytest.raises(AdminError, match="another run holds this stack"):
            locks.clear_stale(locks.find(tmp_path, STACK), record)
        with pytest.raises(AdminError) as refused, held(tmp_path, STACK):
            pass
        assert refused.value.code == "stack-locked"
        assert locks.find(tmp_path, STACK) == [lock]
    assert locks.find(tmp_path, STACK) == []
    with held(tmp_path, STACK):
        pass


def test_an_engine_that_runs_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, os.getpid())
    with pytest.raises(AdminError) as refused, held(tmp_path, STACK):
        pass
    assert refused.value.code == "stack-locked"
    assert [lock.path for lock in locks.find(tmp_path, STACK)] == [path]


def test_what_a_killed_holder_leaves_is_known_to_be_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    found, record = locks.find(tmp_path, STACK), run_record.read(tmp_path, STACK)
    with pytest.raises(AdminError):
        locks.clear_stale(found, record)
    process.kill()
    process.wait(timeout=10)
    process.stdout.close()
    # Also from inside a container, where its process would not be seen.
    assert locks.clear_stale(found, run_record.read(tmp_path, STACK), all_are_seen=False) == found
    with held(tmp_path, STACK):
        pass
