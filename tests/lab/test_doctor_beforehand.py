"""`doctor` before a first `up`: quiet on a fresh outer host, which stays as it is; and what would stand in the way is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.lab_project import LabProject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import Lab

HOST = "virtual.lab.internal"
TRACES = """
find /etc /root /usr/local /var/lib/nested-pve-ha -xdev -type f -printf '%p %s %T@\\n' 2>/dev/null | sort
qm list; pvesm status | awk '{print $1, $3}'; ip -br link | awk '{print $1, $2}'
"""


@pytest.fixture(scope="module")
def project(fresh_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> LabProject:
    """Stack dev in the running lab; nothing is deployed."""
    return LabProject(tmp_path_factory.mktemp("beforehand") / "project", fresh_lab.state)


@pytest.fixture
def untouched(fresh_lab: Lab) -> Iterator[None]:
    """The outer host is afterwards as before, file by file."""
    before = fresh_lab.sh(HOST, TRACES)
    yield
    assert fresh_lab.sh(HOST, TRACES) == before


def document(project: LabProject) -> tuple[int, dict[str, Any]]:
    run = project.admin("doctor", "--json")
    assert "{" in run.output, run.output
    found, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("{") :])
    return run.code, found


@pytest.mark.usefixtures("untouched")
def test_a_fresh_outer_host_is_fit(project: LabProject) -> None:
    run = project.admin("doctor")
    assert run.code == 0, run.output
    assert "there is no cluster yet; nothing is wrong" in run.output
    assert run.output.count("not made yet") == 3
    code, found = document(project)
    assert (code, found["healthy"], found["cluster"]) == (0, True, None)
    assert found["machines"]["virtual"]["version"]


@pytest.mark.usefixtures("untouched")
def test_what_would_stand_in_the_way_is_named(project: LabProject, fresh_lab: Lab) -> None:
    described = project.configuration()
    vmid = described["nodes"][0]["vmid"]
    address = described["nodes"][1]["address"]
    fresh_lab.sh(HOST, f"qm create {vmid} --name somebodys --memory 128; ip addr add {address}/24 dev vmbr0")
    try:
        code, found = document(project)
    finally:
        fresh_lab.sh(HOST, f"qm destroy {vmid}; ip addr del {address}/24 dev vmbr0")
    assert code == 1
    assert [cause["name"] for cause in found["causes"]] == ["foreign-vmid", "address-taken"]
    assert document(project)[1]["healthy"]


def test_a_stack_file_that_does_not_load_is_refused_by_name(project: LabProject) -> None:
    described = project.configuration()
    project.configure({**described, "pveMajor": "eleven"})
    try:
        run = project.admin("doctor")
    finally:
        project.configure(described)
    assert run.code == 1
    assert "pveMajor" in run.output
