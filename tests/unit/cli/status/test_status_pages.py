"""README.md and docs/concepts.md show the status as the program prints it."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from cli.status import table
from cli.status.verdict import findings
from config.paths import ROOT
from tests.unit.cli.status.test_status import CASES, DOWN, HA, OFF_3, ONLY_ONCE, WANTED, node, not_up, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.status.look import NodeStatuses

CONCEPTS = ROOT / "docs" / "concepts.md"
PAGES = (ROOT / "README.md", CONCEPTS)
CODE = re.compile(r"`([^`]+)`")


def healthy(master: str) -> list[str]:
    """The lines of a cluster as described whose third node has no guests."""
    ha = replace(HA, master=master, lrm={**HA.lrm, "proxmox03": "idle"})
    seen: NodeStatuses = {f"proxmox0{number}": node(number, ha=ha, pve_version="9.1.2") for number in (1, 2, 3)}
    console = Console(record=True, width=200, force_terminal=False, file=StringIO())
    table.show(console, WANTED, seen, findings(WANTED, seen))
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


def missing(page: str, printed: list[str]) -> list[str]:
    """The printed lines that are not on the page."""
    lines = {line.rstrip() for line in page.splitlines()}
    return [line for line in printed if line not in lines]


def cells(page: str, head: str) -> list[list[str]]:
    """The rows of the table with that first line."""
    after = page.partition(f"{head}\n|")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in after.splitlines()[1:]]


def quoted(page: str) -> Iterator[str]:
    """What the page says that the status finds: in the table of findings, and while a node dies."""
    for row in cells(page, "| finding | meaning |"):
        yield from CODE.findall(row[0])
    for row in cells(page, "| time | what happens | what `make status` says of it |"):
        yield from (words for words in CODE.findall(row[-1]) if words.startswith(("is ", "HA ")))


def found() -> set[str]:
    """What is found in all the worlds of the tests of the status."""
    worlds = [*(case[1] for case in CASES), *(case[1] for case in ONLY_ONCE)]
    drifted = [OFF_3, not_up("10.10.1.186/24")]
    return {finding.what for seen in worlds for finding in findings(WANTED, seen)} | {
        finding.what for finding in findings(WANTED, world(proxmox03=DOWN), drifted)
    }


def unknown(page: str) -> list[str]:
    """The quoted words that no finding has; an ellipsis and a node's number stand for any."""
    patterns = {
        words: re.sub(r"proxmox0\d", r"proxmox0\\d", ".*".join(map(re.escape, words.split("…"))))
        for words in quoted(page)
    }
    texts = found()
    return [words for words, pattern in patterns.items() if not any(re.search(pattern, text) for text in texts)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_picture_is_what_is_printed(page: Path) -> None:
    text = page.read_text()
    assert min((missing(text, healthy(master)) for master in HA.lrm), key=len) == []


def test_a_line_that_is_not_printed_would_be_found() -> None:
    text = CONCEPTS.read_text().replace("proxmox03  9.1.2", "proxmox03  9.1.3")
    assert len(missing(text, healthy("proxmox02"))) == 1


def test_every_column_is_explained() -> None:
    header = next(line for line in healthy("proxmox01") if line.split()[0] == "node")
    assert [row[0] for row in cells(CONCEPTS.read_text(), "| column | what it shows |")] == re.split(
        r"\s{2,}", header.strip()
    )


def test_every_quoted_finding_is_one() -> None:
    page = CONCEPTS.read_text()
    assert len(list(quoted(page))) > 15
    assert unknown(page) == []


def test_a_finding_that_is_none_would_be_found() -> None:
    page = CONCEPTS.read_text().replace("`HA has no master`", "`HA has two masters`")
    assert unknown(page) == ["HA has two masters"]
