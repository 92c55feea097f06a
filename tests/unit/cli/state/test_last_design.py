"""After a run that failed, the design that was built last stays recorded."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cli.state import last_design
from components.recorded import CLUSTER, DESIGN

OF_A_VM = {"type": "proxmoxve:index/vmLegacy:VmLegacy", "urn": "urn:vm", "inputs": {"vmId": 101}}


def state(memory: int, *, cores: int = 2) -> dict[str, Any]:
    design = {"type": DESIGN, "urn": "urn:design", "inputs": {"memory": memory}, "outputs": {"memory": memory}}
    cluster = {"type": CLUSTER, "urn": "urn:cluster", "inputs": {"nodes": memory}}
    vm = {**OF_A_VM, "inputs": {"vmId": 101, "cores": cores}}
    return {"version": 3, "deployment": {"resources": [design, cluster, vm]}}


def test_the_design_of_before_stays_and_all_else_is_as_the_run_left_it() -> None:
    after = state(2, cores=4)
    untouched = copy.deepcopy(after)
    assert last_design.kept(state(1), after) == state(1, cores=4)
    assert after == untouched


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(state(1), state(1, cores=4), id="the design did not change"),
        pytest.param({"deployment": {}}, state(1), id="a first run"),
        pytest.param(state(1), {"deployment": {"resources": [OF_A_VM]}}, id="the design is gone"),
        pytest.param(
            state(1), {"deployment": {**state(2)["deployment"], "pending_operations": [{}]}}, id="the engine was killed"
        ),
    ],
)
def test_otherwise_nothing_is_recorded(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert last_design.kept(before, after) is after
