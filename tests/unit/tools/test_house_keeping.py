"""What stands in two places agrees: make help and its headings, hooks and lint, versions of Python, the newest release."""

from __future__ import annotations

import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from tests.unit.test_layers import PRODUCT

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
HEADINGS = ("A first cluster", "Daily work", "Look and understand", "Pull requests", "Develop")
KINDS = {"Added", "Changed", "Fixed", "Removed", "Security"}
RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d\d-\d\d)")


def groups() -> dict[str, list[str]]:
    """What `make help` lists, by heading."""
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text.startswith("\n")
    parts = (part.splitlines() for part in text[1:].split("\n\n"))
    return {heading: lines for heading, *lines in parts}


def test_help_is_grouped_by_what_one_wants_to_do() -> None:
    shown = groups()
    assert [heading.startswith(want) for heading, want in zip(shown, HEADINGS, strict=True)] == [True] * len(HEADINGS)
    listed = [line.split()[1] for lines in shown.values() for line in lines]
    assert sorted(listed) == sorted(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert shown[next(iter(shown))][0].split()[:2] == ["make", "up"]


@pytest.mark.parametrize(
    ("variable", "where"),
    [
        ("STACK=", "A first cluster"),
        ("STACK=", "Daily work"),
        ("YES=1", "Daily work"),
        ("LOOK=1", "Daily work"),
        ("STACK=", "Look and understand"),
        ("DO='", "Look and understand"),
        ("BASE=", "Pull requests"),
        ("OUTPUT=", "Pull requests"),
    ],
)
def test_help_names_a_variable_where_it_counts(variable: str, where: str) -> None:
    (text,) = ("\n".join([heading, *lines]) for heading, lines in groups().items() if heading.startswith(where))
    assert variable in text


def test_hooks_call_all_parts_of_lint_and_nothing_else() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [one["repo"] for one in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {(hook["language"], hook["pass_filenames"]) for hook in hooks} == {("system", False)}
    (parts,) = re.findall(r"^lint: (.+?) ##", MAKEFILE, re.MULTILINE)
    assert sorted(hook["entry"] for hook in hooks) == sorted(f"make {part}" for part in parts.split())
    assert set(parts.split()) <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_the_quick_tests_run_on_each_python_that_is_allowed() -> None:
    matrix = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())["jobs"]["tier"]["strategy"]["matrix"]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    assert "unit" in matrix["tier"]
    assert [(one["tier"], one["python"]) for one in matrix["include"]] == [("unit", "3.12"), ("unit", "3.13")]


def test_the_quick_tests_measure_how_much_of_the_product_they_cover() -> None:
    coverage = PYPROJECT["tool"]["coverage"]
    assert set(coverage["run"]["source"]) == PRODUCT
    assert coverage["run"]["branch"]
    assert coverage["report"]["fail_under"] > 90
    (measured,) = re.findall(r"^\t.* --cov .*", MAKEFILE, re.MULTILINE)
    assert measured.endswith(" tests/unit tests/policy")


def releases(text: str) -> list[tuple[str, list[str]]]:
    """The changelog's headings, each with the kinds of change under it."""
    parts = text.split("\n## ")[1:]
    return [(part.partition("\n")[0], re.findall(r"^### (.+)$", part, re.MULTILINE)) for part in parts]


def test_the_changelog_is_in_its_form_and_its_newest_release_is_the_version() -> None:
    (unreleased, _), *released = releases((ROOT / "CHANGELOG.md").read_text())
    assert unreleased == "Unreleased"
    found = [RELEASE.fullmatch(heading) for heading, _ in released]
    versions = [(tuple(map(int, one.groups()[:3])), date.fromisoformat(one[4])) for one in found if one]
    assert len(versions) == len(released) > 0
    assert versions == sorted(versions, reverse=True)
    assert ".".join(map(str, versions[0][0])) == PROJECT["version"]


def test_each_line_of_the_changelog_stands_under_a_kind_of_change() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    for heading, kinds in releases(text):
        assert kinds, heading
        assert set(kinds) <= KINDS
        assert len(set(kinds)) == len(kinds)
    part = ""
    for line in text.splitlines():
        part = line if line.startswith("#") else part
        assert part.startswith("### ") or not line.startswith("- "), line
