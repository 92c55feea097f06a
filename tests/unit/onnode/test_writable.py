"""A member is whole when /etc/pve takes writes, some seconds after quorum: no step ends before (F1)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from onnode.cluster import create_cluster, join_cluster
from onnode.errors import StepError
from tests.support.onnode_worlds import run
from tests.unit.onnode.test_cluster import CREATE, JOIN, Joiner

if TYPE_CHECKING:
    from onnode.step import Step
    from tests.support.fake_machine import FakeMachine

LISTED = dataclasses.replace(JOIN, listed=True)
STEPS = [
    pytest.param(create_cluster.STEP, CREATE, CREATE, id="create"),
    pytest.param(join_cluster.STEP, JOIN, LISTED, id="join"),
]
LATE_S = 9.0


class Late(Joiner):
    """pmxcfs takes writes only from a certain moment on; without one, as soon as the node is quorate."""

    writable_at = 0.0

    @property
    def writable(self) -> bool:
        return super().writable and self.machine.monotonic() >= self.writable_at


@pytest.fixture
def node(machine: FakeMachine) -> Late:
    return Late(machine)


@pytest.mark.parametrize(("step", "wanted", "again"), STEPS)
def test_the_step_ends_when_writes_are_taken(
    machine: FakeMachine,
    node: Late,
    step: Step[Any, Any],
    wanted: object,
    again: object,
) -> None:
    node.writable_at = machine.monotonic() + LATE_S
    outcome = run(machine, step, wanted)
    assert (outcome.facts["quorate"], outcome.facts["pve_writable"]) == (True, True)
    assert LATE_S <= machine.monotonic() - (node.writable_at - LATE_S) < 2 * LATE_S
    assert not run(machine, step, again).changed


@pytest.mark.parametrize(("step", "wanted", "again"), STEPS)
def test_a_quorate_member_that_takes_no_writes_is_not_as_described(
    machine: FakeMachine,
    node: Late,
    step: Step[Any, Any],
    wanted: object,
    again: object,
) -> None:
    run(machine, step, wanted)
    assert not run(machine, step, again).changed
    node.writable_at = machine.monotonic() + LATE_S
    outcome = run(machine, step, again)
    assert outcome.changed, "it was waited for"
    assert outcome.facts["pve_writable"]
    assert machine.monotonic() >= node.writable_at


@pytest.mark.parametrize(("step", "wanted", "again"), STEPS)
def test_one_that_never_takes_writes_is_named_in_time(
    machine: FakeMachine,
    node: Late,
    step: Step[Any, Any],
    wanted: Any,  # noqa: ANN401 - of either step
    again: object,
) -> None:
    del again
    began = machine.monotonic()
    node.writable_at = began + 1e9
    with pytest.raises(StepError) as failed:
        run(machine, step, wanted)
    assert failed.value.code == "no-quorum"
    assert failed.value.expected == f"quorum and a writable /etc/pve within {wanted.timeout_s:g} s"
    assert wanted.timeout_s <= machine.monotonic() - began < 2 * wanted.timeout_s
