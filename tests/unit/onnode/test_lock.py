from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from onnode.errors import StepError
from onnode.system import lock

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
    machine.write("/run/nested-pve-ha/machine.lock", "")
    with lock.hold(machine, "a", wait_s=0):
        machine.path("/run/nested-pve-ha/machine.lock").write_text("")
        assert lock.holder(machine) == "a step that has not written its name yet"


def test_the_locks_are_in_a_directory_of_roots_own(machine: FakeMachine) -> None:
    machine.path("/run").mkdir()
    machine.path("/run/nested-pve-ha").mkdir(mode=0o777)
    with lock.hold(machine, "install-node", wait_s=0, shared=True, scope="vm-101"):
        directory = machine.path("/run/nested-pve-ha")
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
            "machine.lock": 0o600,
            "machine-vm-101.lock": 0o600,
        }
    assert not machine.exists("/run/lock"), "which is world-writable"


@pytest.mark.parametrize("linked", ["/run/nested-pve-ha", "/run/nested-pve-ha/machine.lock"])
def test_a_link_in_a_locks_place_is_not_followed(machine: FakeMachine, linked: str) -> None:
    machine.write("/etc/victim", "precious")
    link = machine.path(linked)
    link.parent.mkdir(parents=True)
    link.symlink_to(machine.path("/etc/victim" if linked.endswith("lock") else "/etc"))
    with pytest.raises(StepError) as refused, lock.hold(machine, "kvm-nested", wait_s=0):
        pytest.fail("a link was followed")
    assert refused.value.code == "lock-unsafe"
    assert machine.read("/etc/victim") == "precious"
    assert os.listdir(machine.path("/etc")) == ["victim"]  # noqa: PTH208
