"""One build, or one installation, at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_BUILD_SECONDS = 3600


@contextmanager
def exclusive(path: Path, *, seconds: float = LONGEST_BUILD_SECONDS) -> Iterator[None]:
    """Hold the lock file at `path`; the kernel drops it when this process ends, however it ends. Who holds it may remove it.

    Raises:
        ToolchainError: `toolchain-busy` when another process holds it for longer than `seconds`.
    """
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(BlockingIOError), wait=wait_fixed(0.2), stop=stop_after_delay(seconds)
        ):
            with attempt:
                lock = _taken(path)
    except RetryError as error:
        raise ToolchainError(
            "toolchain-busy",
            "another process is building or installing the toolchain",
            observed=f"{path} is locked since more than {seconds:.0f} s",
            expected="one build at a time",
            remedy=f"wait for it, or look for its process with: fuser -v {path}",
        ) from error
    with lock:
        yield


def _taken(path: Path) -> IO[str]:
    """The lock file, open and locked.

    Raises:
        BlockingIOError: another process holds it, or removed it while this one waited for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as on_failure:
        lock = on_failure.enter_context(path.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(lock.fileno())):
            raise BlockingIOError
        on_failure.pop_all()
    return lock
