"""Runs by turns, and what becomes of them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tools.bench.errors import BenchError
from tools.bench.figures import Pack, Pair
from tools.bench.timing import Command, by_turns

if TYPE_CHECKING:
    from pathlib import Path


def test_runs_alternate_and_the_first_of_each_does_not_count() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    assert by_turns([lambda: run("A"), lambda: run("B")], 2) == [[3.0, 5.0], [4.0, 6.0]]
    assert "".join(order) == "ABABAB"


def test_the_ratio_compares_runs_that_belong_together() -> None:
    # The machine is ten times slower in the last round, and once the measured program alone is held up.
    pair = Pair(name="", goal=2, empty=[1, 1, 1, 10], measured=[2, 2, 9, 20])
    assert pair.ratio == 2


def test_what_a_pack_adds_is_told_from_runs_that_belong_together() -> None:
    # The machine is slower in the last round.
    pack = Pack(without=[4, 4, 8], idle=[5, 5, 9], ours=[5.5, 5.25, 9.75])
    assert (pack.added(pack.idle), pack.added(pack.ours)) == (1, 1.5)


def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    def python(program: str) -> Command:
        return Command((sys.executable, "-c", program), tmp_path, os.environ)

    assert python("pass").seconds() > 0
    with pytest.raises(BenchError, match="no such stack"):
        python("raise SystemExit('no such stack')").seconds()
