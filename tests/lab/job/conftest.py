"""One lab with the whole of stack dev in it, shared by this folder's tests; each gets it healthy, whatever ran before."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from tests.support import outer_host
from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProject]:
    """A running lab and a copy of the project; nothing deployed yet."""
    directory = tmp_path_factory.mktemp("job")
    project = LabProject(directory / "project", directory / "lab")
    started = project.lab("up")
    assert started.code == 0, started.output
    yield project
    project.lab("down")


@pytest.fixture(scope="session")
def as_found(project: LabProject) -> list[str]:
    """The outer host before anything was deployed."""
    return outer_host.look(project)


@pytest.fixture
def cluster(project: LabProject, as_found: list[str]) -> Iterator[LabProject]:
    """Stack dev, deployed and as described; a test's changes to the stack file are taken back."""
    assert as_found
    project.mend()
    # A test may leave the machines well, and recorded otherwise than described.
    if project.admin("status").code != 0 or project.deployed != project.configuration():
        run = project.admin("up")
        # A node that was fenced by the test before may still be on its way back when `up` looks.
        assert project.eventually(lambda: project.admin("status").code == 0, 180), run.output
    described = copy.deepcopy(project.configuration())
    yield project
    project.configure(described)
