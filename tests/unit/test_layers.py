"""Imports go one way: on-node package, stack file, cluster, components, commands; nothing imports what stands above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("onnode", "config", "cluster", "components", "cli")


def imported(text: str) -> set[str]:
    """The packages that a module imports, also within a function or for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
    return found


def above(layer: str, text: str) -> set[str]:
    return imported(text) & {*LAYERS[LAYERS.index(layer) + 1 :], "lab", "tests"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_nothing_from_above(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert len(files) > 5
    wrong = {f"{file.relative_to(ROOT)}": found for file in files if (found := above(layer, file.read_text()))}
    assert wrong == {}


def test_an_import_from_above_would_be_found() -> None:
    text = "def f():\n    from cli.engine import engine\n    import onnode.errors\n"
    assert above("cluster", text) == {"cli"}
    assert above("cli", text) == set()
