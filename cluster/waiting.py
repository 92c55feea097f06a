"""Looking again and again, for a bounded time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_result, stop_after_delay

from cluster.call import note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")

QUIET_S = 5.0  # after that, people are to see what is waited for
REST_MAX_S = 2.0  # a look that takes longer waits for a machine that does not answer at all


def rest(poll_s: float, took_s: float) -> float:
    """Seconds until the next look: machines that answer late are busy, often with what is waited for, and get as long a rest."""
    return max(poll_s, min(took_s, REST_MAX_S))


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Say once what is waited for, when that takes long; also while a single question is not answered."""
    timer = Timer(QUIET_S, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def until(look: Callable[[], T], done: Callable[[T], bool], *, timeout_s: float, poll_s: float) -> T:
    """What is seen when it is done, or at the last look within the time; what a look raises comes through."""
    return Retrying(**_options(done, timeout_s, poll_s))(look)


async def until_async(
    look: Callable[[], Awaitable[T]], done: Callable[[T], bool], *, timeout_s: float, poll_s: float
) -> T:
    """The same, for a look that others are not to wait for."""

    async def looked() -> T:
        return await look()  # tenacity awaits only what is declared so, and no lambda

    return await AsyncRetrying(**_options(done, timeout_s, poll_s))(looked)


def _options(done: Callable[[T], bool], timeout_s: float, poll_s: float) -> dict[str, Any]:
    def last(state: RetryCallState) -> T:
        assert state.outcome is not None  # noqa: S101 - for mypy: there was a look
        seen: T = state.outcome.result()
        return seen

    began = 0.0

    def begin(_state: RetryCallState) -> None:
        nonlocal began
        began = time.monotonic()

    return {
        "before": begin,
        "retry": retry_if_result(lambda seen: not done(seen)),
        "stop": stop_after_delay(timeout_s),
        "wait": lambda _state: rest(poll_s, time.monotonic() - began),
        "retry_error_callback": last,
    }
