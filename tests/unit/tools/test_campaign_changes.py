"""The campaign's random changes: repeatable, all kinds, each valid, with a way from the file before, and by the policies."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.judging import judged
from tests.support.program import host_key, run, stack_file
from tools.campaign import changes

if TYPE_CHECKING:
    from pathlib import Path

DEV = stack_file("dev")
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_kinds_appear_and_the_planner_knows_a_way_to_each(seed: int) -> None:
    found = changes.sequence(DEV, seed, 30)
    assert [one.number for one in found] == [*range(1, 31)]
    assert Counter(one.kind for one in found).keys() == changes.KINDS.keys()
    files = [changes.start(DEV), *(one.made.file for one in found)]
    for (before, after), change in zip(pairwise(files), found, strict=True):
        assert changes.refusal(before, after) is None, change
        assert (before == after) is (change.kind == "replace-node")
        assert bool(change.made.destroyed) is (change.kind == "replace-node")
        assert changes.NODES_MIN <= len(after["nodes"]) <= changes.NODES_MAX
        assert len(after["guests"]) <= changes.GUESTS_MAX
        assert {guest["kind"] for guest in after["guests"]} == {"vm", "container"}
        assert {name for guest in after["guests"] for name in guest["ha"]["nodes"]} <= {
            node["name"] for node in after["nodes"]
        }


def test_a_seed_decides_all_and_a_longer_campaign_begins_like_a_shorter_one() -> None:
    once = changes.sequence(DEV, 7, 12)
    assert changes.sequence(copy.deepcopy(DEV), 7, 12) == once
    assert changes.sequence(DEV, 7, 15)[:12] == once
    assert changes.sequence(DEV, 8, 12) != once


def test_what_the_planner_refuses_is_told() -> None:
    """Else the test above would show nothing."""
    before = changes.start(DEV)
    after = copy.deepcopy(before)
    after["nodes"][1]["nodeId"] = 9
    assert changes.refusal(before, after) is None  # the values' own comparison refuses that
    moved = copy.deepcopy(before)
    for node in moved["nodes"]:
        node["links"] = [f"10.10.1.{node['nodeId'] + 50}", f"10.20.1.{node['nodeId'] + 50}"]
    assert "link-last" in str(changes.refusal(before, moved))
    bad = copy.deepcopy(before)
    bad["nodes"][0]["links"].pop()
    assert "nodes[0].links" in str(changes.refusal(before, bad))


def test_each_file_passes_the_policies(tmp_path: Path) -> None:
    """A file that a mandatory rule refuses would be no test of a change."""
    seen: list[Any] = []
    for change in changes.sequence(DEV, 1, 20):
        if change.made.file not in seen:
            seen.append(change.made.file)
    for file in copy.deepcopy([changes.start(DEV), *seen[::4]]):
        if qdevice := file["cluster"].get("qdevice"):
            qdevice["machine"]["hostKey"] = host_key("witness")  # which the lab has among its credentials
        assert judged(run(file, tmp_path)) == set()
