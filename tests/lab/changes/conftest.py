"""A lab of its own for what changes a live cluster: stack dev, alone or with a fourth node, which has the guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_world import succeeded
from tests.support.fourth_node import FOURTH, nodes_of_guests, with_four
from tests.support.program import stack_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lab_project import LabProject
    from tests.support.saved_lab import SavedLab


# Each lab does one file after another: what takes longest begins first, so that no lab works alone in the end.
LONGEST_FIRST = ("test_replacement.py", "test_removal.py", "test_repair.py", "test_qdevice.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes to undo comes last in its file, in whatever order the others are."""
    order = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    order |= {path: LONGEST_FIRST.index(path.name) - len(LONGEST_FIRST) for path in order if path.name in LONGEST_FIRST}
    items.sort(key=lambda item: (order[item.path], item.get_closest_marker("destroys") is not None))


@pytest.fixture(scope="module")
def three(saved_lab: SavedLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """Stack dev, deployed in a lab of its own; each test of the module begins with what the one before has left."""
    with saved_lab.project(tmp_path_factory.mktemp("changes")) as project:
        yield project


@pytest.fixture
def four(three: LabProject) -> LabProject:
    """Four members, guests under HA on the fourth, whatever ran before."""
    project, wanted = three, with_four(stack_file("dev"))
    if project.deployed != wanted or project.configuration() != wanted:
        project.configure(wanted)
        succeeded(project.admin("up"))
    assert project.eventually(lambda: nodes_of_guests(project) == {FOURTH}, 180)
    return project
