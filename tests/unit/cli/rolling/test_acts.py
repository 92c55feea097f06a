"""What is done to one node, and the look at the cluster before it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import chronicle
from cli.rolling import acts, session
from cluster.errors import AdminError
from cluster.transport import members
from cluster.transport.nodes import StepResult
from onnode.contract.guests import GuestMove, Maintenance, MoveGuests, RunningGuest, RunningGuests
from onnode.contract.node import RebootNode, UpgradeNode
from tests.unit.cluster.test_rolling import DRAINED, MOTION, NAMES, SILENT, view
from tests.unit.cluster.worlds import member

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.rolling import View

CONFIG = SimpleNamespace(pve_major=9, cluster=SimpleNamespace(timeout_s=3, name="proxmox"))
FACTS = {
    "upgrade-node": {
        "pve_version": "9.1.2",
        "packages": [],
        "kernel_running": "a",
        "kernel_newest": "b",
        "boot_id": "b1",
    }
}


class Session(session.Session):
    """Steps are noted; looks and boot ids are given out in order, the last one for ever."""

    def __init__(self, *views: View, boots: list[str | AdminError] | None = None) -> None:
        described: Any = SimpleNamespace(config=CONFIG, stack="dev")
        super().__init__(described, [member(number) for number in (1, 2, 3)], "")
        object.__setattr__(self, "ran", [])
        object.__setattr__(self, "views", list(views))
        object.__setattr__(self, "boots", boots or [])
        object.__setattr__(self, "there", [])

    ran: list[tuple[str, object]]
    views: list[View]
    boots: list[str | AdminError]
    there: list[RunningGuest]

    async def run(self, name: str, step: str, desired: object, *, timeout_s: float, quiet: bool = False) -> StepResult:
        assert timeout_s > 0
        self.ran.append((name, desired))
        return StepResult(not quiet, FACTS.get(step, {}))

    async def guests(self, name: str) -> RunningGuests:
        return RunningGuests(name, self.there)

    async def look(self) -> View:
        return self.views.pop(0) if len(self.views) > 1 else self.views[0]

    async def boot_id(self, name: str) -> str:
        assert name == "proxmox02"
        seen = self.boots.pop(0) if len(self.boots) > 1 else self.boots[0]
        if isinstance(seen, AdminError):
            raise seen
        return seen


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "POLL_S", 0.01)
    monkeypatch.setattr(acts, "POLL_S", 0.01)
    monkeypatch.setattr(acts, "BACK_S", 0.3)


def test_guests_that_ha_does_not_move_go_first_and_another_node_is_asked_for_the_rest() -> None:
    held = Session(view())
    held.there.append(RunningGuest("vm:900", "own", managed=False))
    asyncio.run(acts.drain(held, view(), "proxmox01"))
    assert held.ran == [
        ("proxmox01", MoveGuests("proxmox01", [GuestMove("vm:900", "proxmox03")])),
        ("proxmox02", Maintenance("proxmox01", enabled=True, timeout_s=3)),
    ]


def test_nothing_is_done_when_a_guest_cannot_leave() -> None:
    held = Session(view())
    held.there.append(RunningGuest("vm:900", "own", managed=False, obstacles=["a disk"]))
    with pytest.raises(AdminError) as refused:
        asyncio.run(acts.drain(held, view(), "proxmox01"))
    assert refused.value.code == "guest-stays"
    assert held.ran == []


def test_a_node_is_given_back_through_another_one_or_itself() -> None:
    held = Session(view())
    asyncio.run(acts.undrain(held, view(), "proxmox02"))
    alone = replace(view(), motions={"proxmox02": MOTION})
    asyncio.run(acts.undrain(held, alone, "proxmox02"))
    assert held.ran == [
        ("proxmox01", Maintenance("proxmox02", enabled=False, timeout_s=3)),
        ("proxmox02", Maintenance("proxmox02", enabled=False, timeout_s=3)),
    ]


def test_a_reboot_is_believed_only_under_a_new_boot_id() -> None:
    held = Session(view(), boots=["b1", SILENT, "", "b1", "b2"])
    asyncio.run(acts.reboot(held, "proxmox02", "b1"))
    assert held.ran == [("proxmox02", RebootNode("proxmox02", "b1"))]
    assert held.boots == ["b2"]


@pytest.mark.parametrize(("boots", "observed"), [(["b1"], "boot id b1, as before"), ([SILENT], "cannot be reached")])
def test_a_node_that_does_not_come_back_is_named(boots: list[str | AdminError], observed: str) -> None:
    with pytest.raises(AdminError) as failed:
        asyncio.run(acts.reboot(Session(view(), boots=boots), "proxmox02", "b1"))
    assert failed.value.code == "node-not-back"
    assert failed.value.what.startswith("proxmox02 did not come back")
    assert observed in failed.value.observed


@pytest.mark.parametrize("apply", [True, False])
def test_an_upgrade_tells_what_is_left(apply: bool) -> None:  # noqa: FBT001
    held = Session(view())
    left = asyncio.run(acts.upgrade(held, "proxmox02", apply=apply))
    assert left.reboots
    assert held.ran == [("proxmox02", UpgradeNode("proxmox02", 9, apply, 3600.0 if apply else 15.0))]


def test_a_cluster_that_gets_well_in_time_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    held = Session(view(proxmox03=SILENT), view(proxmox03=SILENT), view())
    assert asyncio.run(held.settled("proxmox02")) == view()
    assert capsys.readouterr().out.count("waiting until the cluster is well: proxmox03 does not answer") == 1


def test_one_that_does_not_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONFIG.cluster, "timeout_s", 0.1)
    with pytest.raises(AdminError) as refused:
        asyncio.run(Session(view(proxmox03=SILENT)).settled("proxmox02"))
    assert refused.value.code == "not-settled"
    assert "so proxmox02 is not touched" in refused.value.what
    assert "proxmox03 does not answer" in refused.value.observed


def test_what_does_not_pass_by_itself_is_refused_at_once() -> None:
    held = Session(view(DRAINED))
    with pytest.raises(AdminError) as refused:
        asyncio.run(held.settled("proxmox01"))
    assert refused.value.code == "node-in-maintenance"
    assert asyncio.run(held.settled("proxmox02")) == view(DRAINED)
    with pytest.raises(AdminError) as unknown:
        held.member("proxmox09")
    assert unknown.value.expected == ", ".join(NAMES)


def test_what_is_done_to_a_node_is_entered_in_the_chronicle() -> None:
    held = Session(view(), boots=["b2"])
    held.there.append(RunningGuest("vm:900", "own", managed=False))
    with chronicle.kept() as kept:
        asyncio.run(acts.drain(held, view(), "proxmox02"))
        asyncio.run(acts.upgrade(held, "proxmox02", apply=False))
        asyncio.run(acts.upgrade(held, "proxmox02", apply=True))
        asyncio.run(acts.reboot(held, "proxmox02", "b1"))
        asyncio.run(acts.undrain(held, view(), "proxmox02"))
    assert {one.where for one in kept.acts} == {"proxmox02"}
    assert [one.what for one in kept.acts] == [
        "moved vm:900 to proxmox03",
        "put into maintenance, guests moved away",
        "packages upgraded",
        "rebooted",
        "taken out of maintenance",
    ]


def test_each_look_at_the_cluster_is_entered_in_the_chronicle(monkeypatch: pytest.MonkeyPatch) -> None:
    described: Any = SimpleNamespace(config=CONFIG, stack="dev")
    answers: list[dict[str, Any]] = [{"proxmox01": SILENT}, {}, {"proxmox01": SILENT, "proxmox02": SILENT}, {}]

    @asynccontextmanager
    async def connections(*_: object, **__: object) -> AsyncIterator[dict[str, Any]]:
        yield {}

    async def ask(*_: object, **__: object) -> dict[str, Any]:
        await asyncio.sleep(0)
        return answers.pop(0)

    monkeypatch.setattr(members, "connections", connections)
    monkeypatch.setattr(members, "ask", ask)
    held = session.Session(described, [member(1)], "")
    with chronicle.kept() as kept:
        asyncio.run(held.look())
        asyncio.run(held.look())
    assert kept.before == {"proxmox01": SILENT}
    assert kept.after == {"proxmox01": SILENT, "proxmox02": SILENT}
