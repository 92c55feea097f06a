"""The engine's lock in a file backend: a dead run's is cleared, a living one's never."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cli.backend import locks, run_record
from cli.run import loading
from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK = "dev"


def write(backend: Path, pid: int, *, hostname: str | None = None, taken_at: float | None = None) -> Path:
    directory = backend / "locks" / "organization" / "nested-pve-ha" / STACK
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{pid}.json"
    moment = datetime.fromtimestamp(taken_at or time.time(), UTC)
    # As the engine writes it: nanoseconds.
    timestamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}123Z"
    content = {"pid": pid, "username": "root", "hostname": hostname or socket.gethostname(), "timestamp": timestamp}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def sleeper() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process.pid
    process.kill()
    process.wait(timeout=10)


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait(timeout=10)
    return process.pid


def test_no_lock_is_fine(tmp_path: Path) -> None:
    assert locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=True) == []


def test_the_lock_of_a_dead_process_is_cleared(tmp_path: Path) -> None:
    path = write(tmp_path, pid := dead_pid())
    assert [lock.pid for lock in locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=True)] == [pid]
    assert not path.exists()


def test_the_lock_of_a_living_process_stays_and_its_process_is_named(tmp_path: Path, sleeper: int) -> None:
    path = write(tmp_path, sleeper, taken_at=time.time() + 1)
    with pytest.raises(AdminError) as caught:
        locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=True)
    assert caught.value.code == "stack-locked"
    assert f"process {sleeper}" in caught.value.observed
    assert path.exists()


def test_a_living_process_that_is_younger_than_the_lock_is_another_one(tmp_path: Path, sleeper: int) -> None:
    path = write(tmp_path, sleeper, taken_at=time.time() - 3600)
    locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=True)
    assert not path.exists()


def test_a_lock_of_another_host_stays_whatever_runs_here(tmp_path: Path) -> None:
    path = write(tmp_path, dead_pid(), hostname="elsewhere")
    with pytest.raises(AdminError) as caught:
        locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=True)
    assert "elsewhere" in caught.value.observed
    assert "`pulumi cancel --stack dev` in `make shell STACK=dev`" in caught.value.fix
    assert path.exists()


def test_a_living_lock_beside_a_dead_one_keeps_both(tmp_path: Path, sleeper: int) -> None:
    dead = write(tmp_path, dead_pid())
    write(tmp_path, sleeper, taken_at=time.time() + 1)
    with pytest.raises(AdminError):
        locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=True)
    assert dead.exists()


def test_when_a_process_started_is_known() -> None:
    started = locks.process_started_at(os.getpid())
    assert started is not None
    assert 0 <= time.time() - started < 24 * 3600
    assert locks.process_started_at(dead_pid()) is None


def test_a_process_that_cannot_be_seen_from_here_is_not_taken_for_dead(tmp_path: Path) -> None:
    """As of a plain `pulumi` outside, seen from the lab or a container with the same host name."""
    path = write(tmp_path, dead_pid())
    with pytest.raises(AdminError) as caught:
        locks.clear_stale(locks.find(tmp_path, STACK), all_are_seen=False)
    assert caught.value.code == "stack-locked"
    assert "cannot be seen from inside" in caught.value.fix
    assert "`pulumi cancel --stack dev` in `make shell STACK=dev`" in caught.value.fix
    assert path.exists()


def recorded(backend: Path, pid: int) -> run_record.Record:
    found = run_record.read(backend, STACK)
    assert found is not None
    assert found.pid == pid
    return found


@pytest.mark.parametrize("all_are_seen", [True, False])
def test_a_run_of_ours_is_known_to_live_wherever_it_runs(tmp_path: Path, *, all_are_seen: bool) -> None:
    backend = tmp_path / ".pulumi"
    pid = dead_pid()  # no process of this number is seen here
    with run_record.held(backend, STACK) as record:
        os.write(record, f"{pid}\n".encode())
        path = write(backend, pid)
        with pytest.raises(AdminError) as caught:
            locks.clear_stale(locks.find(backend, STACK), recorded(backend, pid), all_are_seen=all_are_seen)
        assert caught.value.code == "stack-locked"
        assert path.exists()
    assert locks.clear_stale(locks.find(backend, STACK), recorded(backend, pid), all_are_seen=all_are_seen)
    assert not path.exists()


def test_a_second_run_leaves_the_record_of_the_first_as_it_is(tmp_path: Path) -> None:
    """It wrote its engine's number over it, and nobody could tell any more who holds the stack."""
    backend = tmp_path / ".pulumi"
    with run_record.held(backend, STACK) as record:
        os.write(record, b"4711\n")
        with run_record.held(backend, STACK) as second:
            assert second == -1
        assert recorded(backend, 4711).lives
    with run_record.held(backend, STACK) as third:
        assert third >= 0


def test_a_run_on_another_machine_of_the_same_name_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = tmp_path / ".pulumi"
    pid = dead_pid()
    with run_record.held(backend, STACK) as record:
        os.write(record, f"{pid}\n".encode())
    path = write(backend, pid)
    monkeypatch.setattr(run_record, "_boot", lambda: "another start")
    monkeypatch.setattr(run_record, "_machine", lambda: "another machine")
    with pytest.raises(AdminError) as caught:
        locks.clear_stale(locks.find(backend, STACK), recorded(backend, pid), all_are_seen=True)
    assert "another machine is named" in caught.value.fix
    assert path.exists()


DAMAGED = {
    "empty": "",
    "cut off": '{"pid":12,"usern',
    "zeroes": "\0" * 100,
    "less than the engine writes": '{"pid": 12}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_lock_is_removed_and_told(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, dead_pid())
    path.write_text(content)
    loading.make_readable(tmp_path, STACK, lambda _question: None)
    assert not path.exists()
    assert f"removed a lock that is empty or cut off: {path}" in capsys.readouterr().out


def test_a_damaged_lock_stays_while_a_run_of_ours_lives(tmp_path: Path) -> None:
    path = write(tmp_path, dead_pid())
    path.write_text("")
    with run_record.held(tmp_path, STACK) as descriptor:
        os.write(descriptor, b"4711\n")
        with pytest.raises(AdminError) as refused:
            locks.clear_damaged(tmp_path, STACK, run_record.read(tmp_path, STACK))
    assert refused.value.code == "stack-locked"
    assert "4711" in refused.value.observed
    assert path.exists()
    assert locks.clear_damaged(tmp_path, STACK, run_record.read(tmp_path, STACK)) == [path]
