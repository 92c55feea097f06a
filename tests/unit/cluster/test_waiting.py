"""Waits end when it is done or the time is up, and what a look raises comes through."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest

from cluster.waiting import rest, until, until_async


@pytest.mark.parametrize(("timeout_s", "last"), [(60, 3), (0, 0)])
def test_the_last_look_is_what_was_waited_for_or_what_there_was_in_time(timeout_s: float, last: int) -> None:
    looks, later = count(), count()

    async def look() -> int:
        await asyncio.sleep(0)
        return next(later)

    assert until(lambda: next(looks), lambda seen: seen == 3, timeout_s=timeout_s, poll_s=0) == last
    # A lambda, too, is awaited.
    waiting = until_async(lambda: look(), lambda seen: seen == 3, timeout_s=timeout_s, poll_s=0)  # noqa: PLW0108
    assert asyncio.run(waiting) == last
    assert next(looks) == next(later) == last + 1


def test_what_a_look_raises_ends_the_wait() -> None:
    looks = count()

    def look() -> int:
        if next(looks) == 1:
            raise KeyError("gone")
        return 0

    with pytest.raises(KeyError, match="gone"):
        until(look, bool, timeout_s=60, poll_s=0)
    assert next(looks) == 2


@pytest.mark.parametrize(
    ("took_s", "pause_s"),
    [
        pytest.param(0.1, 0.5, id="a quick answer"),
        pytest.param(1.2, 1.2, id="a busy machine gets as long a rest"),
        pytest.param(20, 2, id="one that does not answer is not waited for twice"),
    ],
)
def test_the_next_look_comes_later_where_the_last_one_took_long(took_s: float, pause_s: float) -> None:
    assert rest(0.5, took_s) == pause_s


def test_a_look_that_takes_long_is_followed_by_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [1000.0], list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    took = iter([0.1, 1.5, 0.1])

    def look() -> bool:
        now[0] += next(took)
        return len(slept) == 2

    assert until(look, bool, timeout_s=60, poll_s=0.5)
    assert slept == [0.5, 1.5]
