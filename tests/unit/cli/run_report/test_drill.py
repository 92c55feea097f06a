"""The report of a drill: a clock for each guest, the delays for which they stand, and how exact they are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cli.run_report import render
from cli.run_report.model import document
from tests.unit.cli.run_report.told import changed, drilled

if TYPE_CHECKING:
    from cluster.drilling import Drill


def report(drill: Drill | None) -> dict[str, object]:
    kept = changed()
    kept.drill = drill
    return document(kept, "dev", "drill", None, kept.began + 60)


def test_the_document_has_plain_values() -> None:
    found = json.loads(json.dumps(report(drilled())["drill"]))
    assert found["guests"][0] == {
        "sid": "vm:200",
        "last_answer": 0.2,
        "lost": 6.1,
        "fenced": 11.4,
        "elsewhere": 11.4,
        "answering": 12.9,
        "node": "proxmox02",
    }
    assert found["others"] == [{"sid": "vm:201", "node": "proxmox03", "longest_s": 0.7}]
    assert found["real"]["fenced"] == "110 to 130 s"
    assert report(None)["drill"] is None


def test_markdown_has_a_row_for_each_guest_and_for_real_machines() -> None:
    text = render.markdown(report(drilled()))
    assert "| guest | last answer | lost | fenced | elsewhere | answers again | on |" in text
    assert "| vm:200 | 0.2 s | 6.1 s | 11.4 s | 11.4 s | 12.9 s | proxmox02 |" in text
    assert "| ct:300 | 0.2 s | 6.1 s | not seen | not seen | not seen | - |" in text
    assert "| on real machines |  | 60 to 80 s | 110 to 130 s |" in text
    assert "every 0.5 s, and at most 0.6 s lay between two looks" in text
    assert "vm:201 on proxmox03 went on: at most 0.7 s between two answers." in text
    assert "The clocks of the guests" not in render.markdown(report(None))


def test_the_page_has_the_same() -> None:
    text = render.html(report(drilled()))
    for part in ("<th>answers again</th>", "<td>12.9 s</td>", "<td>not seen</td>", "vm:201 on proxmox03 went on"):
        assert part in text
    assert "The clocks of the guests" not in render.html(report(None))


@pytest.mark.parametrize(("scale", "told"), [(0.1, True), (1.0, False)])
def test_a_time_scale_is_told_where_there_is_one(scale: float, *, told: bool) -> None:
    text = render.markdown(report(replace(drilled(), time_scale=scale)))
    assert ("times the real ones here" in text) is told


def test_a_dead_master_takes_longer_and_the_report_says_so() -> None:
    text = render.markdown(report(replace(drilled(), was_master=True)))
    assert "proxmox01 was the HA master" in text
    assert "| about 180 s | about 180 s |" in text
