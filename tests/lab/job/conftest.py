"""A lab with the whole of stack dev in it, shared by a worker's tests; each gets it healthy, whatever ran before."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.support.lab_project import LabProject
    from tests.support.saved_lab import SavedLab


PASSED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def project(saved_lab: SavedLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """A lab with stack dev deployed, and a copy of the project."""
    with saved_lab.project(tmp_path_factory.mktemp("job")) as project:
        yield project


@pytest.fixture(scope="session")
def as_found(project: LabProject, saved_lab: SavedLab) -> list[str]:
    """The outer host before anything was deployed."""
    assert project
    return saved_lab.as_found()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What destroys the stack comes last, in whatever order the others are: it has to be restored then."""
    items.sort(key=lambda item: item.get_closest_marker("destroys") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test itself passed, for its fixtures."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def known_well() -> list[bool]:
    """Whether the test before only looked, and saw what it expected: one entry, changed in place."""
    return [False]


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest, project: LabProject, saved_lab: SavedLab, known_well: list[bool]
) -> Iterator[LabProject]:
    """Stack dev, deployed and as described; a test's changes to the stack file are taken back."""
    if project.deployed is None:
        saved_lab.deploy_anew(project)
    # `up` and `status` fail where anything is not as the stack file says, which must be the deployed one.
    if not (known_well[0] or (project.seen_well and project.deployed == project.configuration())):
        make_well(project)
    described = copy.deepcopy(project.configuration())
    yield project
    project.configure(described)
    known_well[0] = request.node.get_closest_marker("looks") is not None and request.node.stash.get(PASSED, False)


def make_well(project: LabProject) -> None:
    project.mend()
    # A test may leave the machines well, and recorded otherwise than described.
    if project.admin("status").code != 0 or project.deployed != project.configuration():
        run = project.admin("up")
        # A node that was fenced by the test before may still be on its way back when `up` looks.
        assert project.eventually(lambda: project.admin("status").code == 0, 180), run.output
