"""The report as people see it: nothing in it is markup that is not ours, and it loads nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from cli.chronicle import Remark, Stage
from cli.run_report import picture, render
from cli.run_report.masking import masked
from cli.run_report.model import document
from cluster.errors import AdminError
from tests.unit.cli.run_report.told import begun as began
from tests.unit.cli.run_report.told import changed, engine_run, failed, one_link_cut, state, well

if TYPE_CHECKING:
    from cli.chronicle import Chronicle
    from cli.description import Description
    from onnode.errors import StepError

VOID = {"meta", "rect", "line", "circle"}
HOSTILE = "<script>alert(1)</script>\"' onload=x ](http://evil) | `x` <!-- # @all **b** \n- item\n````\n{{ 7*7 }} {% raw %} \u202e"


class Reader(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(report: dict[str, Any]) -> Reader:
    reader = Reader()
    reader.feed(render.html(report))
    reader.close()
    assert reader.open == []
    return reader


def told(kept: Chronicle, error: StepError | None = None) -> dict[str, Any]:
    report: dict[str, Any] = masked(document(kept, "dev", "up", error, kept.began + 200), set())
    return report


@pytest.fixture
def kept(dev: Description) -> Chronicle:
    """A run that changed stack dev, and after which a link is cut."""
    found = changed()
    found.config = dev.config
    found.before, found.after = well(1, 2, 3), one_link_cut()
    found.transitions = ["proxmox03 leaves for good"]
    found.findings = [Remark("proxmox02", "has lost link 0", "check the switch")]
    return found


def test_all_parts_are_shown_in_both(kept: Chronicle) -> None:
    report = told(kept)
    for text in (" ".join(page(report).text), render.markdown(report).replace("\\", "")):
        for part in (
            *(
                "make up, stack dev",
                "done in 3 min 20 s",
                "guest vm01",
                "proxmox03 leaves for good",
                "vm01-vm",
                "created",
            ),
            *("quorate with 3 of 3 votes", "quorate with 2 of 3 votes", "0: 0/2, 1: 1/2", "host-unreachable"),
            *("has lost link 0", "check the switch", "Run", "2.5 s"),
        ):
            assert part in text, part


def test_a_page_is_one_file_that_loads_nothing(kept: Chronicle) -> None:
    text = render.html(told(kept))
    reader = page(told(kept))
    assert not set(reader.tags) & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "audio",
        "video",
    }
    assert not {name for name, _ in reader.attributes} & {"src", "href", "xlink:href", "srcset", "action", "background"}
    assert not re.search(r"url\(|@import|https?:|//[a-z]", text)
    assert "default-src 'none'" in text
    assert {"viewport", "color-scheme"} <= {value for name, value in reader.attributes if name == "name"}
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def hostile(kept: Chronicle) -> tuple[Chronicle, StepError]:
    remark = [Remark(HOSTILE, HOSTILE, HOSTILE)]
    kept.changes = kept.drifted = kept.acts = kept.findings = kept.passing = remark
    kept.transitions, kept.stages = [HOSTILE], [Stage(HOSTILE, 1.0, failed=True)]
    kept.runs = [engine_run((0.1, began("create", HOSTILE)), (2.0, failed("create", HOSTILE)))]
    kept.state = state(**{HOSTILE: []})
    kept.before = {HOSTILE: AdminError("internal", HOSTILE)}
    return kept, AdminError("internal", HOSTILE, observed=HOSTILE, fix=HOSTILE)


def test_hostile_names_are_words_in_a_page(kept: Chronicle) -> None:
    plain = page(told(kept))
    reader = page(told(*hostile(kept)))
    assert set(reader.tags) <= {*plain.tags, "pre", "b", "span", "ul", "li"}
    assert {name for name, _ in reader.attributes} <= {name for name, _ in plain.attributes}
    shown = " ".join(reader.text)
    assert shown.count("<script>alert(1)</script>") > 15
    assert "{{ 7*7 }}" in shown
    assert "\u202e" not in shown


def test_hostile_names_are_words_in_markdown(kept: Chronicle) -> None:
    text = render.markdown(told(*hostile(kept)))
    fenced = re.compile(r"^````text\n.*?\n````$", re.MULTILINE | re.DOTALL)
    assert len(fenced.findall(text)) == 1
    rest = fenced.sub("", text)
    assert "alert" in rest
    assert not re.search(r"(?<!\\)<", rest)
    assert not re.search(r"(?<!\\)\]\(", rest)
    assert not re.search(r"^- item", rest, re.MULTILINE)
    columns = {line: len(re.findall(r"(?<!\\)\|", line)) for line in rest.splitlines() if line.startswith("| ")}
    assert set(columns.values()) <= {4, 6}, "a name that holds a bar makes no column"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("thanks to @everybody", "thanks to @\u200beverybody"),
        ("(@team/one)", "(@\u200bteam/one)"),
        ("see https://evil.example/x", "see https\u200b://evil.example/x"),
        ("see www.evil.example", "see www\u200b.evil.example"),
        ("fixes #12", "fixes \\#\u200b12"),
        ("ssh root@192.168.0.101 uptime", "ssh root@192.168.0.101 uptime"),
    ],
)
def test_a_forge_sees_no_mention_and_no_link_in_words(kept: Chronicle, said: str, shown: str) -> None:
    kept.findings = [Remark("pve1", said, "")]
    assert f"pve1: {shown}" in render.markdown(told(kept))


def test_hostile_names_of_nodes_are_words_in_the_picture(kept: Chronicle) -> None:
    report = told(kept)
    for node in report["topology"]["nodes"]:
        node["name"] = node["host"] = "<b>&"
    reader = page(report)
    assert "<b>&" in reader.text
    assert "outer host <b>&" in reader.text


def test_a_run_without_anything_is_a_page_all_the_same() -> None:
    empty = changed()
    empty.runs, empty.stages, empty.changes, empty.before, empty.after = [], [], [], None, None
    report = told(empty, AdminError("host-unreachable", "nobody answers"))
    text = " ".join(page(report).text)
    assert "failed after 3 min 20 s: host-unreachable" in text
    assert "Before: nobody looked. After: nobody looked." in text
    assert "svg" not in page(report).tags
    assert "nobody looked" in render.markdown(report)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (200.4, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_in_peoples_words(seconds: float, shown: str) -> None:
    assert render.duration(seconds) == shown


# -- the picture -------------------------------------------------------------------------------------------------------


def topology(nodes: int, links: int, *, hosts: int = 1) -> dict[str, Any]:
    return {
        "nodes": [
            {
                "name": f"node{number}",
                "id": number,
                "votes": 1,
                "host": f"host{number % hosts}" if hosts else "",
                "links": {str(link): f"10.{link}.0.{number}" for link in range(links)},
            }
            for number in range(1, nodes + 1)
        ],
        "links": [{"number": link, "subnet": f"10.{link}.0.0/24"} for link in range(links)],
    }


def drawn(nodes: int, links: int, *, hosts: int = 1) -> picture.Picture:
    found = picture.drawn(topology(nodes, links, hosts=hosts), None)
    assert found is not None
    return found


@pytest.mark.parametrize(("nodes", "links", "hosts"), [(1, 1, 1), (2, 2, 0), (3, 2, 1), (5, 3, 2), (16, 8, 4)])
def test_everything_lies_within_and_no_node_on_another(nodes: int, links: int, hosts: int) -> None:
    found = drawn(nodes, links, hosts=hosts)
    assert len(found.dots) == nodes * links
    places = [(dot.x, dot.y) for dot in found.dots]
    places += [(words.x, words.y) for words in found.words] + [(box.x, box.y) for box in found.boxes]
    for x, y in places:
        assert 0 <= x < found.width
        assert 0 <= y < found.height
    rows = sorted((box.y, box.y + box.height) for box in found.boxes if box.kind.startswith("node"))
    assert len(rows) == nodes
    assert all(above[1] < below[0] for above, below in pairwise(rows))
    groups = sorted((box.y, box.y + box.height) for box in found.boxes if box.kind == "host")
    assert len(groups) == hosts
    assert all(above[1] < below[0] for above, below in pairwise(groups))
    for top, bottom in rows:
        assert not hosts or sum(group[0] < top and bottom < group[1] for group in groups) == 1


def test_two_links_are_narrow_enough_for_a_phone() -> None:
    assert drawn(5, 2).width <= 450


def test_dots_and_boxes_tell_what_was_seen(dev: Description) -> None:
    kept = changed()
    kept.config, kept.after = dev.config, one_link_cut()
    report = told(kept)
    found = picture.drawn(report["topology"], report["after"])
    assert found is not None
    assert [dot.kind for dot in found.dots] == ["none", "some", "none", "some", "unknown", "unknown"]
    assert [box.kind for box in found.boxes] == ["host", "node all", "node all", "node none"]
    said = [words.text for words in found.words]
    assert "0 of 2 connected" in said
    assert [text for text in said if text.startswith("id 3")] == ["id 3, 1 vote, host-unreac…"]


def test_a_link_with_a_gap_in_its_number_has_its_place() -> None:
    report = topology(2, 2)
    report["links"][1]["number"] = 5
    for node in report["nodes"]:
        node["links"] = {"0": "10.0.0.1", "5": "10.5.0.1"}
    found = picture.drawn(report, None)
    assert found is not None
    assert len({dot.x for dot in found.dots}) == 2
    assert "link 5" in [words.text for words in found.words]


def test_long_names_are_cut() -> None:
    report = topology(1, 1)
    report["nodes"][0]["name"] = "n" * 63
    found = picture.drawn(report, None)
    assert found is not None
    assert max(len(words.text) for words in found.words) <= picture.TEXT_SHOWN
