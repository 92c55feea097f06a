"""Two `up`s at once on one stack: the second is refused by name, the first goes through, and nothing is harmed."""

from __future__ import annotations

import copy
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.lab_project import LabProject

LOCKS = "select count(*) from pulumi_state where key like '%/.pulumi/locks/%.json'"
RUN_S = 300


@pytest.fixture(params=[pytest.param(backend, marks=pytest.mark.story) for backend in ("file", "postgresql")])
def locked(request: pytest.FixtureRequest, cluster: LabProject) -> Iterator[Callable[[], bool]]:
    """The running stack with its state in that backend; tells whether a run holds the stack."""
    with ExitStack() as places:
        if request.param == "file":
            locks = cluster.state / ".pulumi" / "locks"
            yield lambda: bool(list(locks.rglob("*.json")))
            return
        url = places.enter_context(postgres.serving(cluster))
        exported = cluster.pulumi("stack", "export").output
        kept = cluster.stack_file.read_text()
        places.callback(_bring_back, cluster)
        cluster.backend = url
        made = cluster.pulumi("stack", "init", "--no-select")
        assert made.code == 0, made.output
        cluster.stack_file.write_text(kept)
        file = cluster.directory / "state.json"
        file.write_text(exported)
        taken = cluster.pulumi("stack", "import", "--file", file.name)
        assert taken.code == 0, taken.output
        yield lambda: postgres.query(cluster, url, LOCKS) != "0"


def _bring_back(cluster: LabProject) -> None:
    """The state in files is the one that the other tests go on with."""
    exported = cluster.pulumi("stack", "export").output
    cluster.backend = ""
    file = cluster.directory / "state.json"
    file.write_text(exported)
    taken = cluster.pulumi("stack", "import", "--file", file.name)
    assert taken.code == 0, taken.output


def test_the_second_is_refused_and_the_first_goes_through(cluster: LabProject, locked: Callable[[], bool]) -> None:
    values = cluster.configuration()
    guest = next(one for one in values["guests"] if one["name"] == "vm01")
    described = copy.deepcopy(values)
    guest["memoryMib"] = 640
    cluster.configure(values)
    first = cluster.start_admin("up")
    assert cluster.eventually(locked, 60)
    second = cluster.admin("up")
    output, _ = first.communicate(timeout=RUN_S)
    assert (first.returncode, second.code) == (0, 1), output + second.output
    assert "error[stack-locked]" in second.output
    assert "Traceback" not in second.output
    assert re.search(r"~ update +vm01-vm", output), output
    assert not locked()
    again = cluster.admin("up")
    assert again.code == 0, again.output
    assert "0 changes" in again.output
    assert cluster.admin("status").code == 0
    cluster.configure(described)
    assert cluster.admin("up").code == 0
