"""What the tests of decisions start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import is_hypothesis_test

from cli.description import Description
from config import credentials
from config.load import load
from tests.support import program
from tests.unit.cluster.live_nodes import LiveNodes, fresh

if TYPE_CHECKING:
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties are not counted for coverage: it would take most of their time, and another part of the code at each run."""
    for item in items:
        if is_hypothesis_test(getattr(item, "function", None)):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture
def dev() -> Description:
    """Stack dev as its file describes it."""
    return _description("dev")


@pytest.fixture
def physical() -> Description:
    """Stack physical, whose nodes are existing machines."""
    return _description("physical")


def _description(stack: str) -> Description:
    settings = program.settings(program.stack_file(stack), program.credentials())
    config = load(settings)
    return Description(stack, config, credentials.load(config, settings, {credentials.STACK_KEY}, {}, stack=stack))


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LiveNodes:
    """Three nodes that answer over SSH, none in a cluster yet."""
    return LiveNodes(monkeypatch, tmp_path, *(fresh(number) for number in (1, 2, 3)))
