"""The rolling commands: in which order a node's turn goes, what a second call skips, and what stops the rest."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli import chronicle
from cli.chronicle import Remark
from cli.rolling import acts, commands, progress, session
from cli.run import confirmation
from cluster import rolling
from cluster.errors import AdminError
from onnode.contract.guests import RunningGuest, RunningGuests
from onnode.contract.node import Upgrade
from tests.unit.cluster.test_rolling import MOTION, NAMES, view
from tests.unit.cluster.worlds import member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster.contract import Member
    from cluster.rolling import View

KERNEL = "6.17.2-2-pve"
PLAN = Upgrade("9.1.1", ["pve-manager"], "6.17.2-1-pve", "6.17.2-1-pve", "b1")
DONE = replace(PLAN, packages=[])


class Held:
    """A held stack: nodes with boot ids, maintenance and packages; `did` is what was done, in order."""

    stack = "dev"
    patience_s = 1
    key = ""

    def __init__(self) -> None:
        self.members: list[Member] = [member(number) for number in (1, 2, 3)]
        self.boots = dict.fromkeys(NAMES, "b1")
        self.plans = dict.fromkeys(NAMES, PLAN)
        self.away: set[str] = set()
        self.tied: dict[str, list[RunningGuest]] = {}
        self.did: list[str] = []
        self.fails: dict[str, AdminError] = {}

    member = session.Session.member

    async def look(self) -> View:
        seen = {name: "maintenance" if name in self.away else "online" for name in NAMES}
        return view(replace(MOTION, seen=seen))

    async def settled(self, leaving: str | None, _patience_s: float | None = None) -> View:
        seen = await self.look()
        rolling.refuse_two_away(seen, leaving)
        if "gate" in self.fails:
            raise self.fails["gate"]
        return seen

    async def boot_id(self, name: str) -> str:
        return self.boots[name]

    async def guests(self, name: str) -> RunningGuests:
        return RunningGuests(name, self.tied.get(name, []))

    def note(self, what: str, name: str) -> None:
        self.did.append(f"{what} {name}")
        if error := self.fails.pop(f"{what} {name}", None):
            raise error


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Held:
    held = Held()
    monkeypatch.setattr(progress, "DIRECTORY", tmp_path)

    @contextmanager
    def opened(_stack: str) -> Iterator[Any]:
        yield held

    async def drain(_held: object, _view: object, name: str) -> None:
        held.away.add(name)
        held.note("drain", name)

    async def undrain(_held: object, _view: object, name: str) -> None:
        held.note("undrain", name)
        held.away.discard(name)

    async def reboot(_held: object, name: str, boot_id: str) -> None:
        assert held.boots[name] == boot_id
        held.note("reboot", name)
        held.boots[name] += "+"

    async def upgrade(_held: object, name: str, *, apply: bool) -> Upgrade:
        if not apply:
            return held.plans[name]
        held.note("upgrade", name)
        kernel = KERNEL if name == "proxmox02" and held.plans[name].packages else PLAN.kernel_newest
        held.plans[name] = replace(held.plans[name], packages=[], kernel_newest=kernel, boot_id=held.boots[name])
        left = held.plans[name]
        held.plans[name] = DONE
        return left

    monkeypatch.setattr(session, "opened", opened)
    for name, act in (("drain", drain), ("undrain", undrain), ("reboot", reboot), ("upgrade", upgrade)):
        monkeypatch.setattr(acts, name, act)
    return held


def turn(*words: str) -> list[str]:
    return [f"{word} {name}" for name in words[1:] for word in words[0].split()]


def test_nodes_are_upgraded_one_after_another_and_rebooted_where_a_kernel_came(held: Held) -> None:
    held.plans["proxmox03"] = DONE
    commands.upgrade("dev", None, yes=True)
    assert held.did == [*turn("drain upgrade undrain", "proxmox01"), *turn("drain upgrade reboot undrain", "proxmox02")]
    held.did.clear()
    commands.upgrade("dev", None, yes=True)
    assert held.did == []


def test_a_node_that_fails_stops_the_rest_and_the_next_call_goes_on_there(held: Held) -> None:
    held.fails["upgrade proxmox02"] = AdminError("apt-failed", "no")
    with pytest.raises(AdminError):
        commands.upgrade("dev", None, yes=True)
    assert held.did[-1] == "upgrade proxmox02"
    assert held.away == {"proxmox02"}
    held.did.clear()
    commands.upgrade("dev", None, yes=True)
    assert held.did == [*turn("drain upgrade reboot undrain", "proxmox02"), *turn("drain upgrade undrain", "proxmox03")]
    assert held.away == set()


def test_one_that_was_cut_off_after_its_last_step_is_given_back(held: Held) -> None:
    """Nothing is left to upgrade there, but it is still in maintenance, and by us."""
    held.fails["undrain proxmox02"] = AdminError("guests-remain", "no")
    with pytest.raises(AdminError):
        commands.upgrade("dev", None, yes=True)
    held.did.clear()
    commands.upgrade("dev", None, yes=True)
    assert held.did == [*turn("drain upgrade undrain", "proxmox02", "proxmox03")]


def test_a_reboot_goes_on_behind_those_that_have_rebooted(held: Held) -> None:
    held.fails["reboot proxmox02"] = AdminError("node-not-back", "no")
    with pytest.raises(AdminError):
        commands.reboot("dev", None, yes=True)
    held.boots["proxmox02"] = "later"  # somebody started it
    held.did.clear()
    commands.reboot("dev", None, yes=True)
    assert held.did == [*turn("drain undrain", "proxmox02"), *turn("drain reboot undrain", "proxmox03")]
    held.did.clear()
    commands.reboot("dev", None, yes=True)
    assert held.did == [*turn("drain reboot undrain", *NAMES)]


def test_a_node_that_is_named_is_rebooted_though_an_unfinished_call_did_so(held: Held) -> None:
    held.fails["drain proxmox02"] = AdminError("guests-remain", "no")
    with pytest.raises(AdminError):
        commands.reboot("dev", None, yes=True)
    held.away.clear()
    held.did.clear()
    commands.reboot("dev", "proxmox01", yes=True)
    assert held.did == [*turn("drain reboot undrain", "proxmox01")]


def test_what_somebody_drained_stays_drained_and_is_worked_on_alone(held: Held) -> None:
    held.away.add("proxmox03")
    with pytest.raises(AdminError) as refused:
        commands.reboot("dev", None, yes=True)
    assert refused.value.code == "node-in-maintenance"
    assert held.did == []
    commands.reboot("dev", "proxmox03", yes=True)
    assert held.did == [*turn("drain reboot", "proxmox03")]
    assert held.away == {"proxmox03"}


REFUSALS: list[tuple[Callable[[], None], str]] = [
    (lambda: commands.drain("dev", "proxmox09"), "node-unknown"),
    (lambda: commands.drain("dev", ""), "node-unknown"),
    (lambda: commands.undrain("dev", "proxmox09"), "node-unknown"),
    (lambda: commands.reboot("dev", "proxmox09", yes=True), "node-unknown"),
    (lambda: commands.upgrade("dev", "proxmox09", yes=True), "node-unknown"),
    (lambda: commands.reboot("dev", None, yes=True), "guest-stays"),
    (lambda: commands.upgrade("dev", None, yes=True), "guest-stays"),
    (lambda: commands.reboot("dev", "proxmox01", yes=False), "not-confirmed"),
    (lambda: commands.upgrade("dev", "proxmox01", yes=False), "not-confirmed"),
]


@pytest.mark.parametrize(("command", "code"), REFUSALS)
def test_what_is_refused_before_anything_is_done(
    held: Held, monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], code: str
) -> None:
    def confirm(_question: str) -> None:
        raise AdminError("not-confirmed", "the answer was no")

    monkeypatch.setattr(confirmation, "confirm", confirm)
    held.tied["proxmox03"] = [RunningGuest("vm:900", "stays", managed=False, obstacles=["a disk"])]
    with pytest.raises(AdminError) as refused:
        command()
    assert refused.value.code == code
    assert held.did == []


def test_drain_and_undrain_act_on_one_node(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    commands.drain("dev", "proxmox02")
    commands.undrain("dev", "proxmox02")
    assert held.did == ["drain proxmox02", "undrain proxmox02"]
    assert "survives the loss of no further node" in capsys.readouterr().out


def test_progress_is_forgotten_after_a_day_and_when_it_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "DIRECTORY", tmp_path)
    kept = progress.read("dev", "reboot")
    kept.boots["proxmox01"] = "b1"
    kept.save()
    assert progress.read("dev", "reboot").boots == {"proxmox01": "b1"}
    assert progress.read("dev", "upgrade").boots == {}
    kept.began = time.time() - progress.LASTS_S - 1
    kept.save()
    assert progress.read("dev", "reboot").boots == {}
    (tmp_path / "dev.reboot.json").write_text('{"began": 1')
    assert progress.read("dev", "reboot").boots == {}
    progress.forget("dev")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (DONE, "nothing to upgrade"),
        (PLAN, "1 package (pve-manager)"),
        (replace(PLAN, packages=list("abcdefgh")), "8 packages (a, b, c, d, e, f and 2 more)"),
        (replace(PLAN, packages=[f"proxmox-kernel-{KERNEL}-signed"]), f"1 package (proxmox-kernel-{KERNEL}-signed); reboot into kernel {KERNEL}"),
        (replace(DONE, kernel_newest=KERNEL), f"reboot into kernel {KERNEL}"),
    ],
)  # fmt: skip
def test_what_an_upgrade_does_in_words(plan: Upgrade, words: str) -> None:
    assert commands.describe(plan) == words


def test_why_nodes_are_upgraded_is_entered_in_the_chronicle(held: Held) -> None:
    held.plans["proxmox03"] = DONE
    with chronicle.kept() as kept:
        commands.upgrade("dev", None, yes=True)
    assert kept.changes == [
        *(Remark(name, "1 package (pve-manager)", "Proxmox VE 9.1.1 before") for name in NAMES[:2]),
        Remark("proxmox03", "nothing to upgrade", "Proxmox VE 9.1.1 before"),
    ]
    assert [one.name for one in kept.stages] == ["What an upgrade would do", "proxmox01", "proxmox02"]
