from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from onnode import lock
from onnode.errors import StepError

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine


def test_one_step_at_a_time(machine: FakeMachine) -> None:
    with lock.hold(machine, "join-cluster", wait_s=10):
        started = machine.monotonic()
        with pytest.raises(StepError) as busy, lock.hold(machine, "repository", wait_s=10):
            pytest.fail("two steps at a time")
        assert machine.monotonic() - started < 11, "bounded"
    assert busy.value.code == "machine-busy"
    assert "step join-cluster (process " in busy.value.observed
    assert machine.notes == [f"waiting for {busy.value.observed}"]
    with lock.hold(machine, "repository", wait_s=0):
        pass


def test_a_step_that_waited_long_enough(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = contextlib.ExitStack()
    first.enter_context(lock.hold(machine, "join-cluster", wait_s=0))
    monkeypatch.setattr(machine, "sleep", lambda _seconds: first.close())
    with lock.hold(machine, "repository", wait_s=10):
        assert lock.holder(machine) is not None


def test_installations_run_side_by_side_but_not_twice_on_one_vm(machine: FakeMachine) -> None:
    with (
        lock.hold(machine, "install-node", wait_s=0, shared=True, scope="vm-101"),
        lock.hold(machine, "install-node", wait_s=0, shared=True, scope="vm-102"),
    ):
        with pytest.raises(StepError), lock.hold(machine, "install-node", wait_s=0, shared=True, scope="vm-101"):
            pytest.fail("one VM twice")
        with pytest.raises(StepError), lock.hold(machine, "kvm-nested", wait_s=0):
            pytest.fail("the host changed during an installation")


def test_who_holds_it(machine: FakeMachine) -> None:
    assert lock.holder(machine) is None, "no lock file yet"
    with lock.hold(machine, "join-cluster", wait_s=0):
        assert "join-cluster" in (lock.holder(machine) or "")
    assert lock.holder(machine) is None


def test_a_holder_that_was_killed_before_it_wrote_its_name(machine: FakeMachine) -> None:
    machine.write("/run/lock/nested-pve-ha.lock", "")
    with lock.hold(machine, "a", wait_s=0):
        machine.path("/run/lock/nested-pve-ha.lock").write_text("")
        assert lock.holder(machine) == "a step that has not written its name yet"
