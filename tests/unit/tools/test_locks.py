"""Two locks: what the program needs, and beside it what lab, tests and linters need, at the same versions."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
# What runs on a control machine with stacks of its own.
PRODUCT = ("__main__.py", "config", "onnode", "cluster", "components", "cli", "policy", "toolchain")
PIN = re.compile(r"^([a-z0-9-]+)==(\S+) \\$", re.MULTILINE)


def lock(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / name).read_text()))


def distributions(*paths: str) -> dict[str, str]:
    """The distributions that files import, each with one that does; without the standard library and what is here."""
    files = [
        file for path in paths for file in ([ROOT / path] if path.endswith(".py") else (ROOT / path).rglob("*.py"))
    ]
    of = packages_distributions()
    return {
        of[module][0].lower().replace("_", "-"): str(file.relative_to(ROOT))
        for file in files
        for module in imports(ast.parse(file.read_text()))
        if module in of and module not in sys.stdlib_module_names
    }


def imports(tree: ast.Module) -> set[str]:
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.partition(".")[0] for name in named}


def test_both_have_the_same_versions() -> None:
    program, all_of_it = lock("requirements.txt"), lock("requirements-dev.txt")
    assert program.items() < all_of_it.items()


def test_the_program_brings_neither_linters_nor_the_labs_library() -> None:
    tools = {"fakepve", "aiohttp", "pycdlib", "mypy", "ruff", "pytest", "hypothesis", "uv", "zizmor"}
    assert tools <= lock("requirements-dev.txt").keys()
    assert not tools & lock("requirements.txt").keys()


def test_the_program_imports_nothing_else() -> None:
    needed = distributions(*PRODUCT)
    assert {"pulumi", "pydantic", "rich"} <= needed.keys()
    assert needed.keys() <= lock("requirements.txt").keys(), needed
    assert not distributions("lab").keys() <= lock("requirements.txt").keys()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_each_package_has_hashes_and_none_names_an_index(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(pins) == len(lock(name)) > 0
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text
    assert "--index-url" not in text


def test_pulumi_install_takes_the_programs_lock() -> None:
    """It installs `requirements.txt` beside the project file, whatever else is there (pulumi-language-python)."""
    runtime = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["runtime"]
    assert runtime == {"name": "python", "options": {"virtualenv": ".venv"}}
    assert not (ROOT / "policy" / "requirements.txt").exists()
