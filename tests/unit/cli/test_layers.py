"""Imports within the commands' package go one way, too: no part of it imports one that stands above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CLI = Path(__file__).resolve().parents[3] / "cli"
# Parts that stand in one line may not import each other.
LAYERS = (
    ("chronicle",),
    ("console",),
    ("backend",),
    ("engine",),
    ("description",),
    ("state",),
    ("drift",),
    ("looks",),
    ("report", "status", "doctor", "first_secrets"),
    ("run",),
    ("rolling",),
    ("up", "preview", "down", "shell", "replace", "reset", "adopt", "drill", "run_report"),
    ("repair",),
    ("recovery",),
    ("main",),
    ("__main__",),
)
PARTS = [part for layer in LAYERS for part in layer]


def imported(text: str) -> set[str]:
    """The parts that a module imports, also within a function or for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "cli":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cli."):
            found.add(str(node.module).split(".")[1])
    return found


def not_below(part: str, text: str) -> set[str]:
    """The parts that a module of this part imports, and may not."""
    level = next(number for number, layer in enumerate(LAYERS) if part in layer)
    below = {other for layer in LAYERS[:level] for other in layer}
    return imported(text) - below - {part}


def test_every_part_has_its_place() -> None:
    there = {
        path.stem for path in CLI.iterdir() if (path.is_dir() and path.name != "__pycache__") or path.suffix == ".py"
    }
    assert there - {"__init__"} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_what_is_below_it(part: str) -> None:
    files = sorted((CLI / part).rglob("*.py")) or [CLI / f"{part}.py"]
    wrong = {file.name: found for file in files if (found := not_below(part, file.read_text()))}
    assert wrong == {}


def test_an_import_that_goes_up_or_across_would_be_found() -> None:
    text = "from cli import up\nfrom cli.engine import locks\ndef f():\n    from cli.state.logins import secret\n"
    assert not_below("run", text) == {"up"}
    assert not_below("down", text) == {"up"}
    assert not_below("engine", text) == {"up", "state"}
    assert not_below("main", text) == set()
