"""Holding a stack while no engine runs: in the engine's own form, so that neither it nor another of our commands begins meanwhile."""

from __future__ import annotations

import json
import os
import socket
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.backend import locks, run_record
from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held(backend: Path, stack: str) -> Iterator[None]:
    """Hold a stack whose state is in files. A killed process leaves a lock that the next run recognizes as dead.

    Args:
        backend: the `.pulumi` directory.
        stack: which.

    Raises:
        AdminError: stack-locked.
    """
    with run_record.held(backend, stack) as record:
        if record < 0:
            raise _locked("a run of this program")
        os.write(record, f"{os.getpid()}\n".encode())
        own = locks.directory(backend, stack) / f"{uuid.uuid4()}.json"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(json.dumps(_content()))
        try:
            # As the engine does it: first its own lock, then a look for others. Of two at the same moment, neither begins.
            if others := [lock for lock in locks.find(backend, stack) if lock.path != own]:
                raise _locked(f"process {others[0].pid} on {others[0].hostname}")
            yield
        finally:
            own.unlink(missing_ok=True)


def _content() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "username": "nested-pve-ha",
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat(),
    }


def _locked(who: str) -> AdminError:
    return AdminError(
        "stack-locked",
        "another run holds this stack",
        observed=who,
        expected="no other run on this stack",
        fix="wait until it has ended",
    )
