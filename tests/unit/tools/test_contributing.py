"""CONTRIBUTING.md, "where a change goes": each file in it exists, and each example's files are all in its section."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "CONTRIBUTING.md"
QUOTED = re.compile(r"`([^`\s]+)`")
EXAMPLE = re.compile(r"^Example: `([\w-]+)`$", re.MULTILINE)
# Figures of runs, and what was changed when: nobody edits them for a change.
WRITTEN_BY_OTHERS = ("docs/benchmarks.", "CHANGELOG.md", "CONTRIBUTING.md", "tests/unit/tools/test_contributing.py")


@cache
def tracked() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def sections(text: str) -> dict[str, str]:
    """The kinds of change, each with its text."""
    places = text.partition("\n## Where a change goes\n")[2].partition("\n## ")[0]
    return dict(part.split("\n", 1) for part in places.split("\n### ")[1:])


def paths(text: str) -> list[str]:
    """What the table names in its first column."""
    rows = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return [path for row in rows for path in QUOTED.findall(row)]


def absent(text: str) -> list[str]:
    """Files and directories that are named and not there; a directory is one with files of the repository."""
    return [
        path
        for path in QUOTED.findall(text)
        if "/" in path
        and not (path.endswith("/") and any(name.startswith(path) for name in tracked()))
        and path not in tracked()
    ]


def spellings(name: str) -> list[str]:
    """A name as it is written in pages, in modules and in classes."""
    words = re.sub(r"([A-Z])", r"-\1", name).lower().split("-")
    return [name, "_".join(words), "".join(word.capitalize() for word in words)]


def touched(example: str) -> list[str]:
    """The files that have the example in their name or in their text."""
    patterns = [part for spelling in spellings(example) for part in ("-e", spelling)]
    command = ["git", "grep", "--word-regexp", "--files-with-matches", "--fixed-strings", *patterns]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found += [name for name in tracked() if Path(name).stem in spellings(example)]
    return sorted({name for name in found if not name.startswith(WRITTEN_BY_OTHERS)})


def left_out(section: str) -> list[str]:
    """The files of a section's example that the section does not name."""
    (example,) = EXAMPLE.findall(section)
    files, directories = paths(section), tuple(path for path in paths(section) if path.endswith("/"))
    return [name for name in touched(example) if name not in files and not name.startswith(directories)]


@pytest.mark.parametrize("kind", ["A policy rule", "A key of the stack file", "A refusal", "A stand-in of the lab"])
def test_a_kind_of_change_has_its_place(kind: str) -> None:
    assert paths(sections(PAGE.read_text())[kind])


@pytest.mark.parametrize("kind", sections(PAGE.read_text()))
def test_each_file_that_is_named_exists(kind: str) -> None:
    assert absent(sections(PAGE.read_text())[kind]) == []


@pytest.mark.parametrize("kind", sections(PAGE.read_text()))
def test_all_that_an_example_touches_is_named(kind: str) -> None:
    section = sections(PAGE.read_text())[kind]
    assert len(touched(EXAMPLE.findall(section)[0])) > 1
    assert left_out(section) == []


def test_what_is_not_there_or_not_named_would_be_found() -> None:
    section = sections(PAGE.read_text())["A policy rule"]
    rule = "`policy/pve_policies/watchdog.py`"
    assert absent(section.replace(rule, "`policy/nowhere.py`")) == ["policy/nowhere.py"]
    assert absent(section.replace("reports/`", "letters/`")) == ["tests/toolchain/golden/letters/"]
    assert left_out(section.replace(rule, "`policy/__init__.py`")) == ["policy/pve_policies/watchdog.py"]
