"""Each decision record has its date, its status and its parts, and stands in the index under the number it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DIRECTORY = Path(__file__).resolve().parents[3] / "docs" / "decisions"
INDEX = (DIRECTORY / "README.md").read_text()
RECORDS = sorted(DIRECTORY.glob("[0-9]*.md"))
DAY = r"\d{4}-\d\d-\d\d"
HEAD = re.compile(rf"# (\d+)\. .+\n\n({DAY})(?:, revised {DAY})? · (accepted|replaced by \[decision \d+\]\(.+\))\n\n")
PARTS = ("Decision", "Why", "Alternatives", "Consequence")


def missing(number: int, name: str, text: str, index: str) -> list[str]:
    head = HEAD.match(text)
    lacks = [part for part in PARTS if f"**{part}.**" not in text]
    if head is None or int(head[1]) != number:
        return ["number, date and status", *lacks]
    row = re.search(
        rf"^\| \[{number}\. .+\]\({re.escape(name)}\) \| {head[2]} \| {head[3].split()[0]}", index, re.MULTILINE
    )
    return lacks if row else [*lacks, "its row in the index"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_is_whole(record: Path) -> None:
    assert missing(int(record.name[:4]), record.name, record.read_text(), INDEX) == []


def test_no_number_is_given_twice_or_left_out() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("2026-11-21 · accepted", "accepted", "number, date and status"),
        ("# 8. ", "# 9. ", "number, date and status"),
        ("· accepted", "· perhaps", "number, date and status"),
        ("**Alternatives.**", "Alternatives:", "Alternatives"),
        ("2026-11-21 ·", "2026-11-22 ·", "its row in the index"),
    ],
)
def test_what_a_record_lacks_is_seen(old: str, new: str, told: str) -> None:
    text = (DIRECTORY / "0008-steps.md").read_text()
    assert old in text
    assert missing(8, "0008-steps.md", text.replace(old, new), INDEX) == [told]
