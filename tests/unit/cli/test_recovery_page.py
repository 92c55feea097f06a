"""docs/recovery.md lists every name an error can have."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from cli import recovery
from cluster.errors import CODES
from config.paths import ROOT
from onnode.errors import ON_NODE_CODES

if TYPE_CHECKING:
    from onnode.errors import Code

SOURCES = [ROOT / part for part in ("cli", "cluster", "components")]


def raised() -> set[str]:
    """The codes that the control machine's side raises, by its source."""
    found: set[str] = set()
    for path in (file for source in SOURCES for file in source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AdminError":
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{path}:{node.lineno}: a code is a literal"
                assert isinstance(code.value, str)
                found.add(code.value)
    return found


def test_the_page_is_current() -> None:
    assert recovery.FILE.read_text() == recovery.text(), "run `make docs`"


def test_every_raised_code_is_documented() -> None:
    assert len(raised()) > 20
    assert raised() <= CODES.keys() | ON_NODE_CODES.keys()


@pytest.mark.parametrize("codes", [CODES, ON_NODE_CODES])
def test_every_code_says_what_to_do(codes: dict[str, Code]) -> None:
    for name in codes:
        assert f"`{name}`" in recovery.text()
    assert all(code.meaning and code.next for code in codes.values())


def test_no_code_has_two_meanings() -> None:
    assert not CODES.keys() & ON_NODE_CODES.keys()
