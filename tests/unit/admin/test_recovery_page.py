"""docs/recovery.md lists every name an error can have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from admin import recovery
from admin.errors import CODES
from onnode.errors import CODES as ON_NODE_CODES

ADMIN = Path(recovery.__file__).parent


def raised() -> set[str]:
    """The codes that admin/ raises, by its source."""
    found = set()
    for path in ADMIN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AdminError":
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{path}:{node.lineno}: a code is a literal"
                found.add(code.value)
    return found


def test_the_page_is_current() -> None:
    assert recovery.FILE.read_text() == recovery.text(), "run `make docs`"


def test_every_raised_code_is_documented() -> None:
    assert len(raised()) > 20
    assert raised() <= CODES.keys() | ON_NODE_CODES.keys()


@pytest.mark.parametrize("codes", [CODES, ON_NODE_CODES])
def test_every_code_says_what_to_do(codes: dict[str, object]) -> None:
    for name in codes:
        assert f"`{name}`" in recovery.text()
    assert all(code.meaning and code.next for code in codes.values())


def test_no_code_has_two_meanings() -> None:
    assert not CODES.keys() & ON_NODE_CODES.keys()
