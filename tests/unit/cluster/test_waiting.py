"""Waits end when it is done or the time is up, and what a look raises comes through."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from cluster.waiting import until, until_async


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
