"""One build, or one installation, at a time."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_BUILD_SECONDS = 3600


@contextmanager
def exclusive(path: Path, *, seconds: float = LONGEST_BUILD_SECONDS) -> Iterator[None]:
    """Hold the lock file at `path`; the kernel drops it when this process ends, however it ends.

    Raises:
        ToolchainError: `toolchain-busy` when another process holds it for longer than `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(BlockingIOError), wait=wait_fixed(0.2), stop=stop_after_delay(seconds)
            ):
                with attempt:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except RetryError as error:
            raise ToolchainError(
                "toolchain-busy",
                "another process is building or installing the toolchain",
                observed=f"{path} is locked since more than {seconds:.0f} s",
                expected="one build at a time",
                remedy=f"wait for it, or look for its process with: fuser -v {path}",
            ) from error
        yield
