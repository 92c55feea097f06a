"""Imports go one way, in the product and in the lab; and neither knows the other."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("onnode", "config", "cluster", "components", "cli")
# Of the lab: what all of it shares stands directly in it, and the command line above all.
LAB_LAYERS = ("lab/image", "lab/machine", "lab/services", "lab/world")
PRODUCT = {*LAYERS, "policy"}


def imported(text: str) -> set[str]:
    """What a module imports, also within a function or for types only; modules and names, with dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


def of(packages: set[str], text: str) -> set[str]:
    """Those of the packages that a module imports something of."""
    return {package for package in packages for name in imported(text) if f"{name}.".startswith(f"{package}.")}


def above(layers: tuple[str, ...], layer: str) -> set[str]:
    return {name.replace("/", ".") for name in layers[layers.index(layer) + 1 :]}


@cache
def modules(*places: str) -> dict[str, str]:
    """The repository's modules below these directories, and their text."""
    listed = subprocess.run(["git", "ls-files", *places], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.splitlines() if name.endswith(".py") and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_text() for name in names}


def wrong(texts: dict[str, str], packages: set[str]) -> dict[str, set[str]]:
    return {name: found for name, text in texts.items() if (found := of(packages, text))}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_nothing_from_above(layer: str) -> None:
    assert len(modules(layer)) > 5
    assert wrong(modules(layer), {*above(LAYERS, layer), "tests"}) == {}


@pytest.mark.parametrize("layer", LAB_LAYERS)
def test_a_layer_of_the_lab_imports_nothing_from_above(layer: str) -> None:
    assert len(modules(layer)) > 3
    assert wrong(modules(layer), {*above(LAB_LAYERS, layer), "lab.cli"}) == {}


def test_the_lab_imports_nothing_of_the_product() -> None:
    assert len(modules("lab")) > 100
    assert wrong(modules("lab"), {*PRODUCT, "tests"}) == {}


def test_only_tests_import_the_lab() -> None:
    others = {name: text for name, text in modules().items() if not name.startswith(("lab/", "tests/"))}
    assert PRODUCT | {"toolchain", "tools"} <= {name.partition("/")[0] for name in others}
    assert wrong(others, {"lab", "pvelab"}) == {}


def test_an_import_from_above_would_be_found() -> None:
    text = "def f():\n    from cli.engine import engine\n    import onnode.errors\n    from lab import world\n"
    assert wrong({"x.py": text}, above(LAYERS, "cluster")) == {"x.py": {"cli"}}
    assert wrong({"x.py": text}, above(LAB_LAYERS, "lab/machine")) == {"x.py": {"lab.world"}}
    assert wrong({"x.py": text}, above(LAYERS, "cli")) == {}
