"""docs/failures.md has every story that is cited, and names nothing that is not there."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from cluster.errors import CODES
from onnode.errors import ON_NODE_CODES
from policy.pve_policies import RULES

ROOT = Path(__file__).resolve().parents[3]
PAGE = "docs/failures.md"
COUNT = 25
STORY = re.compile(r"\bF\d{1,2}\b")
# Documents that no reader of this repository has.
UNSEEN = re.compile(r"\bseed[ _-]?\d{3}\b", re.IGNORECASE)
LINKED = re.compile(r"\[(F\d+)\]\((?:\.\./)*failures\.md#(f\d+)\)")
ANCHOR = re.compile(r'^<a id="(f\d+)"></a>\n### (F\d+): ', re.MULTILINE)
REFUSAL = re.compile(r"\[`([\w-]+)`\]\(recovery\.md#([\w-]+)\)")
RULE = re.compile(r"\[`([\w-]+)`\]\(policies\.md#([\w-]+)\)")
PLAYED = re.compile(r"^\| \[(F\d+)\]\(#(f\d+)\) \| `(tests/lab/[\w/]+\.py)` \| `(\w+)` \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w./-]+)`")


@cache
def texts() -> dict[str, str]:
    """Every tracked file that is text, but for lists of checksums."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix != ".sum" and path.is_file():
            found[name] = path.read_text(errors="replace")
    return found


@cache
def stories() -> dict[str, str]:
    """The page's text of each story, by its number."""
    parts = ANCHOR.split((ROOT / PAGE).read_text())[1:]
    return {f"F{anchor[1:]}": text for anchor, text in zip(parts[::3], parts[2::3], strict=True)}


def told(story: str, label: str) -> str:
    """The paragraph or list item of a story that starts with a label; empty if there is none."""
    found = re.search(rf"^(?:\*\*|- ){label}:(.*?)(?=^\*\*|^- |^$|\Z)", stories()[story], re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@cache
def cited() -> dict[str, set[str]]:
    """The files that cite each story."""
    found: dict[str, set[str]] = {}
    for name, text in texts().items():
        for story in STORY.findall(text) if name != PAGE else ():
            found.setdefault(story, set()).add(name)
    return found


def pages_with_a_bare_number() -> set[tuple[str, str]]:
    """Numbers on the pages for users that lead nowhere."""
    found = set()
    for name, text in texts().items():
        if name.endswith(".md") and name != PAGE and not name.startswith("tests/"):
            found |= {(name, story) for story in STORY.findall(LINKED.sub("", text))}
    return found


def test_every_story_has_its_number_and_an_anchor_of_the_same() -> None:
    headings = ANCHOR.findall((ROOT / PAGE).read_text())
    assert [anchor.upper() for anchor, _ in headings] == [number for _, number in headings]
    assert stories().keys() == {f"F{number}" for number in range(1, COUNT + 1)}


def test_every_cited_story_is_on_the_page() -> None:
    assert {"F1", "F7", "F22"} <= cited().keys()
    assert {story: files for story, files in cited().items() if story not in stories()} == {}


def test_on_a_page_a_number_is_a_link_to_its_story() -> None:
    linked = {link for name, text in texts().items() if name.endswith(".md") for link in LINKED.findall(text)}
    assert ("F22", "f22") in linked
    assert {(number, anchor) for number, anchor in linked if number.lower() != anchor} == set()
    assert pages_with_a_bare_number() == set()


@pytest.mark.parametrize("story", [f"F{number}" for number in range(1, COUNT + 1)])
def test_a_story_is_told_whole_and_names_what_is_there(story: str) -> None:
    assert all(told(story, label) for label in ("Seen", "Why", "Here", "Tests")), stories()[story]
    refusals, rules = REFUSAL.findall(stories()[story]), RULE.findall(stories()[story])
    assert {(name, link) for name, link in refusals + rules if name != link} == set()
    assert {name for name, _ in refusals} <= CODES.keys() | ON_NODE_CODES.keys()
    assert {name for name, _ in rules} <= {rule.id for rule in RULES}
    assert set(TEST.findall(stories()[story])) <= texts().keys()


@pytest.mark.parametrize("story", [f"F{number}" for number in range(1, COUNT + 1)])
def test_each_refusal_of_a_story_is_named_by_one_of_its_tests(story: str) -> None:
    tests = [texts()[name] for name in TEST.findall(told(story, "Tests"))]
    refusals = [name for name, _ in REFUSAL.findall(told(story, "Refusals"))]
    named = {name for name in refusals if any(re.search(rf"(?<![\w-]){name}(?![\w-])", text) for text in tests)}
    assert sorted(set(refusals) - named) == []


def test_each_story_is_played_in_the_lab() -> None:
    """The function is there, and the story names its file."""
    rows = PLAYED.findall((ROOT / PAGE).read_text())
    assert [number for number, *_ in rows] == [f"F{number}" for number in range(1, COUNT + 1)]
    assert [number for number, anchor, *_ in rows if number.lower() != anchor] == []
    missing = [(name, file) for _, _, file, name in rows if f"\ndef {name}(" not in texts().get(file, "")]
    assert missing == []
    assert [(number, file) for number, _, file, _ in rows if file not in TEST.findall(told(number, "Tests"))] == []


def test_most_stories_have_refusals_and_some_have_rules() -> None:
    """The positive control of the two above."""
    assert sum(bool(REFUSAL.findall(told(story, "Refusals"))) for story in stories()) > COUNT / 2
    assert RULE.findall(told("F19", "Rules"))
    assert len(TEST.findall(told("F2", "Tests"))) > 1


@pytest.mark.parametrize("words", [f"seed {0:03}", f"Seed {3:03}'s", f"seed-{0:03}"])
def test_words_that_cite_what_nobody_can_read_are_recognized(words: str) -> None:
    assert UNSEEN.search(f"({words}, F22)")


def test_nothing_cites_a_document_that_is_not_here() -> None:
    assert {name for name, text in texts().items() if UNSEEN.search(text)} == set()
