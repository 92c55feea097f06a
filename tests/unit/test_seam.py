"""What is known of one kind of outer host, and how the state names resources, stands in one place each."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.unit.test_layers import LAYERS, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES = ("proxmoxve:", "command:", "pulumi:providers:proxmoxve", "nested-pve-ha:index:")


def texts(module: str) -> Iterator[str]:
    """The strings of a module that are no docstring; of an f-string, its parts."""
    tree = ast.parse(module)
    documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            yield node.value


def test_resource_types_stand_in_one_module() -> None:
    found = {name for name, text in modules(*LAYERS).items() if any(one.startswith(TYPES) for one in texts(text))}
    assert found == {"components/recorded.py"}
