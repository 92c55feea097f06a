"""Machines come to rest before they are saved: in which order, and what happens where a node does not let go of its guests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from lab.errors import LabError
from lab.programs import failed
from lab.world import saving

if TYPE_CHECKING:
    from lab.machine.computer import Computer


class Machine:
    """Notes what it is asked."""

    def __init__(self, label: str, kind: str, notes: list[str], *, on: bool = True, holds: bool = False) -> None:
        self.label = label
        self.kind = kind
        self.on = on
        self._notes = notes
        self._holds = holds

    async def execute(self, *command: str) -> str:
        words = command[command.index("systemctl") :]
        self._notes.append(f"{self.label}: {' '.join(words)}")
        if self._holds and "stop" in words:
            raise failed(command, 124, "")
        return ""

    async def shut_down(self) -> None:
        self._notes.append(f"{self.label}: off")
        self.on = False


def rest(*machines: Machine) -> None:
    asyncio.run(saving.bring_to_rest(cast("Any", machines)))


def test_ha_ends_on_all_nodes_before_any_goes_down_and_hosts_go_after_their_nodes() -> None:
    notes: list[str] = []
    machines: list[tuple[str, str]] = [("virtual", "outer"), ("nas", "server"), ("one", "nested"), ("two", "existing")]
    rest(*(Machine(name, kind, notes) for name, kind in machines), Machine("three", "nested", notes, on=False))
    assert notes == [
        "one: systemctl stop pve-ha-lrm",
        "two: systemctl stop pve-ha-lrm",
        "one: systemctl stop pve-ha-crm",
        "two: systemctl stop pve-ha-crm",
        "one: off",
        "two: off",
        "virtual: off",
        "nas: off",
    ]


def test_a_node_that_does_not_let_go_of_its_guests_is_refused_and_all_go_on() -> None:
    notes: list[str] = []
    machines = [Machine("one", "nested", notes), Machine("two", "nested", notes, holds=True)]
    with pytest.raises(LabError, match="pve-ha-lrm on two does not let go") as refusal:
        rest(*machines, Machine("virtual", "outer", notes))
    assert refusal.value.code == "lab-not-at-rest"
    assert refusal.value.next_step
    assert all(machine.on for machine in machines)
    assert notes[-2:] == [f"{name}: systemctl start --no-block pve-ha-lrm pve-ha-crm" for name in ("one", "two")]


def test_a_machine_has_booted_when_systemd_says_so_also_with_a_failed_unit() -> None:
    answers = iter(["starting", "degraded"])

    class Booting:
        label = "one"
        on = True

        async def execute(self, *_: str) -> str:
            return next(answers)

    asyncio.run(saving.booted(cast("Computer", Booting())))
    assert list(answers) == []


def test_a_machine_that_is_off_is_not_waited_for() -> None:
    with pytest.raises(LabError, match="one is off") as refusal:
        asyncio.run(saving.booted(cast("Computer", Machine("one", "nested", [], on=False))))
    assert refusal.value.code == "machine-not-up"
