"""What the pages and the messages name is there: files, sections, make's targets, subcommands, keys and variables."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from cli.main import app as admin_app
from lab.cli import app as lab_app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
PROGRAM = ("config", "components", "cluster", "cli", "lab", "onnode", "policy", "toolchain", "tools")
LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
SECTION = re.compile(r"docs/[\w-]+\.md#[\w-]+")
TARGET = re.compile(r"(?:`|^ *)make ([a-z-]+)", re.MULTILINE)
SUBCOMMAND = re.compile(r"-m (cli|lab) ([a-z]+(?: [a-z]+)?)")
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+(?:\.py|\.md|\.ya?ml|\.json|/))`")
KEY = re.compile(r"`([a-z][A-Za-z]*(?:\.[a-z][A-Za-z]*)+)(?:: [^`]*)?`")
VARIABLE = re.compile(r"`(NESTED_PVE_[A-Z_]+)`")
# Not of this repository: what a run makes, and an action's own name.
ELSEWHERE = (".nested-pve/", "actions/", "journal.json")
ENDINGS = (".sum", ".mod", ".toml", ".txt", ".cfg", ".conf", ".virtualenv", ".py", ".yml", ".yaml", ".json", ".md")


@cache
def tracked() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(listed.stdout.splitlines())


@cache
def source() -> str:
    names = (name for name in tracked() if name.startswith(PROGRAM) and name.endswith(".py"))
    return "\n".join((ROOT / name).read_text() for name in names)


@cache
def anchors(page: Path) -> set[str]:
    text = page.read_text()
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {title.replace(" ", "-") for title in titles} | set(re.findall(r'<a id="([^"]+)"', text))


def no_links(page: Path, text: str) -> Iterator[str]:
    for link in LINK.findall(text):
        name, _, section = link.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (section and section not in anchors(file.resolve())):
            yield f"link {link}"


def no_commands(text: str) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    yield from (f"make {name}" for name in TARGET.findall(text) if name not in targets)
    for package, words in SUBCOMMAND.findall(text):
        command: Any = typer.main.get_command({"cli": admin_app, "lab": lab_app}[package])
        for word in words.split():
            if not hasattr(command, "commands"):
                break
            if word not in command.commands:
                yield f"-m {package} {words}"
                break
            command = command.commands[word]


def no_files(page: Path, text: str) -> Iterator[str]:
    known = {Path(name).name for name in tracked()} | {"drift"}
    for name in FILE.findall(text):
        bare = name.rstrip("/")
        there = (ROOT / name).exists() or (page.parent / name).exists() or bare in known
        if not there and not name.startswith(ELSEWHERE):
            yield f"file {name}"


def no_keys(text: str) -> Iterator[str]:
    yield from (f"key {path}" for path in KEY.findall(text) if not path.endswith(ENDINGS) and not is_key(path))
    yield from (f"variable {name}" for name in VARIABLE.findall(text) if name not in source())


@cache
def schema() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    return read


def properties(node: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON schema
    """The keys of the object, or of the objects of the list, that a part of the schema describes."""
    if "$ref" in node:
        return properties(schema()["$defs"][node["$ref"].rpartition("/")[2]])
    found = dict(node.get("properties", {}))
    for part in (*node.get("anyOf", ()), *node.get("oneOf", ()), *([node["items"]] if "items" in node else ())):
        found |= properties(part)
    return found


def is_key(path: str) -> bool:
    """Whether the keys lead from one to the next, the first one from anywhere."""
    top = {key.rpartition(":")[2]: value for key, value in properties(schema()["properties"]["config"]).items()}
    for start in (top, *map(properties, schema()["$defs"].values())):
        keys: dict[str, Any] | None = start
        for word in path.split("."):
            keys = properties(keys[word]) if keys is not None and word in keys else None
        if keys is not None:
            return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    assert [*no_links(page, text), *no_commands(text), *no_files(page, text), *no_keys(text)] == []


def test_the_sections_that_messages_name_are_there() -> None:
    named = set(SECTION.findall(source()))
    assert {"docs/recovery.md#node-protected", "docs/config.md#credentials"} <= named
    for name in sorted(named):
        page, _, section = name.partition("#")
        assert section in anchors(ROOT / page), name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a](docs/nowhere.md)", "link docs/nowhere.md"),
        ("[a](docs/config.md#no-such-key)", "link docs/config.md#no-such-key"),
        ("[a](#no-such-section)", "link #no-such-section"),
        ("`make upp STACK=home`", "make upp"),
        ("`sudo .venv/bin/python -m lab link break proxmox02 0`", "-m lab link break"),
        ("`cli/nowhere.py`", "file cli/nowhere.py"),
        ("`cluster.api.roles: Administrator`", "key cluster.api.roles"),
        ("`cluster.checksum`", "key cluster.checksum"),
        ("`NESTED_PVE_NOTHING`", "variable NESTED_PVE_NOTHING"),
    ],
)
def test_what_is_not_there_would_be_found(text: str, told: str) -> None:
    page = ROOT / "README.md"
    assert [*no_links(page, text), *no_commands(text), *no_files(page, text), *no_keys(text)] == [told]
