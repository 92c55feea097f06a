"""Run a campaign, and write docs/campaign.md. Takes hours, and goes on where one was cut off.

Usage, as root: `python -m tools.campaign [--part changes|kills] [--seed N] [--share S] [--again]`.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from typing import Annotated

import typer

from cli.console import err
from config.paths import ROOT
from tests.support.program import stack_file
from tools.campaign import changing, killing, page, results, world

PARTS = {changing.PART: (changing.campaign, changing.COUNT), killing.PART: (killing.campaign, killing.COUNT)}
PAGE = ROOT / "docs" / "campaign.md"


def main(
    *,
    part: Annotated[str, typer.Option(help="changes | kills")] = changing.PART,
    seed: Annotated[int, typer.Option(help="Decides what is changed.")] = 1,
    share: Annotated[float, typer.Option(min=0.01, max=1.0, help="Of the cases, the first ones.")] = 1.0,
    again: Annotated[bool, typer.Option("--again", help="kills: also cases that did not go well, once more.")] = False,
    minutes: Annotated[float, typer.Option(help="No case begins after that time; 0: no limit.")] = 0.0,
) -> None:
    """Change a live cluster at random, or kill runs everywhere. Needs root."""
    # A polite end must not leave the lab behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    if part not in PARTS:
        raise typer.BadParameter(f"one of {', '.join(PARTS)}", param_hint="--part")
    campaign, whole = PARTS[part]
    if again and part != killing.PART:
        raise typer.BadParameter(
            "only with --part kills: a cluster that changes does not come back to a case", param_hint="--again"
        )
    once_more = {"again": True} if again else {}
    until = time.time() + 60 * minutes if minutes else None
    try:
        campaign(stack_file("dev"), seed, math.ceil(whole * share), until=until, **once_more)
    except world.BrokenLabError as error:
        err.print(f"error[campaign-failed]: the lab could not be made\n{error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    finally:
        write()


def write() -> None:
    """Write the page of all campaigns that are written down."""
    known = [
        (part, seed)
        for part in PARTS
        for seed in sorted(int(file.stem.rpartition("-")[2]) for file in results.DIRECTORY.glob(f"{part}-*.jsonl"))
    ]
    if known:
        mended = [case for one in known for case in results.mended(*one)]
        PAGE.write_text(page.text([results.read(*one) for one in known], mended))


if __name__ == "__main__":
    typer.run(main)
