"""Which of the long lab tests run: all, or the share that the environment names.

A test with the mark `story` takes a minute or more (docs/decisions/0020-stories.md). STORIES=2/6 runs the second sixth of
these, and all other tests. `.ci/run` draws the share by the commit, so that each story runs with one of six commits on average.
"""

from __future__ import annotations

VARIABLE = "STORIES"


def left_out(stories: list[str], share: str) -> set[str]:
    """Those that are left to other runs.

    Args:
        stories: the names of all that could run.
        share: which of how many, such as "2/3"; empty for all.

    Raises:
        ValueError: the share is none.
    """
    if not share:
        return set()
    which, of = map(int, share.split("/"))
    if not 1 <= which <= of:
        raise ValueError(f"{VARIABLE}={share}: not a share such as 2/6")
    # Neighbours are of one file, and take about the same time.
    return {name for number, name in enumerate(sorted(stories)) if number % of != which - 1}
