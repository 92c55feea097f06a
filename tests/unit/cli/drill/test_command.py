"""The drill: in which order it goes, what it leaves in the report, and what a node that is off at the beginning means."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli import chronicle
from cli.drill import command
from cli.looks import preparing
from cli.rolling import session
from cli.run import confirmation
from cluster import nested_vm, rolling
from cluster.contract import Housing, Machine
from cluster.drilling import Sample
from cluster.errors import AdminError
from cluster.transport import members
from cluster.transport.watching import Watch
from onnode.contract.guests import RunningGuest, RunningGuests
from tests.unit.cluster.test_rolling import MOTION, NAMES, SERVICE, SILENT, view
from tests.unit.cluster.worlds import member

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cluster.contract import Member
    from cluster.rolling import View

HOST = Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA")
HOUSED = {name: Housing(HOST, 100 + number) for number, name in enumerate(NAMES, start=1)}


class Held:
    """A held stack; `did` is what was done, in order."""

    stack = "dev"
    key = ""
    described: Any = None

    def __init__(self) -> None:
        self.members: list[Member] = [member(number) for number in (1, 2, 3)]
        self.off: set[str] = set()
        self.recovers = True
        self.managed = True
        self.did: list[str] = []
        self.fails: dict[str, AdminError] = {}

    member = session.Session.member

    async def look(self) -> View:
        motion = replace(MOTION, services={"vm:200": SERVICE, "ct:300": {**SERVICE, "node": "proxmox02"}})
        return view(motion, **dict.fromkeys(self.off, SILENT))

    async def settled(self, leaving: str | None, _patience_s: float | None = None) -> View:
        self.note(f"settled {leaving}")
        seen = await self.look()
        assert not self.off
        if leaving:
            rolling.refuse_without_quorum(seen, leaving)
        return seen

    async def guests(self, name: str) -> RunningGuests:
        return RunningGuests(name, [RunningGuest("vm:200", "vm01", managed=self.managed)])

    def note(self, what: str) -> None:
        self.did.append(what)
        if error := self.fails.pop(what, None):
            raise error

    def samples(self) -> list[Sample]:
        """What the watch sees: guests before, and after the stop where they are by then."""
        before = [Sample("proxmox01", -1, -0.9, {}, frozenset({"vm:200"}))]
        there = {"ct:300", *(["vm:200"] if self.recovers and "proxmox01" in self.off else [])}
        return [*before, Sample("proxmox02", 1, 1.1, {"vm:200": ("proxmox02", "started")}, frozenset(there))]


class Watching(Watch):
    """A watch that sees what the stack shows."""

    def __init__(self, held: Held) -> None:
        super().__init__({}, frozenset({"vm"}))
        self.held = held

    async def run(self) -> None:
        while True:
            self.samples = self.held.samples()
            await asyncio.sleep(0)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held()

    @contextmanager
    def opened(_stack: str) -> Iterator[Any]:
        yield held

    @asynccontextmanager
    async def connections(*_: object, **__: object) -> AsyncIterator[Any]:
        yield {"virtual": HOST}

    async def is_off(_host: object, name: str, *_: object) -> bool:
        return name in held.off

    async def look(*_: object) -> Any:  # noqa: ANN401 - a VM, handed on
        return HOST

    async def stop(*_: object) -> None:
        held.note("stop proxmox01")
        held.off.add("proxmox01")

    def start(_described: object, installations: set[str]) -> None:
        for name in sorted(installations):
            held.note(f"start {name}")
            held.off.discard(name.removesuffix("-install"))

    async def watch(*_: object) -> Watch:
        return Watching(held)

    for place, name, double in (
        (session, "opened", opened),
        (members, "connections", connections),
        (nested_vm, "is_off", is_off),
        (nested_vm, "look", look),
        (nested_vm, "stop", stop),
        (preparing, "start", start),
        (command, "watched", watch),
        (command, "housings", lambda _held: HOUSED),
        (command, "BASELINE_S", 0),
        (command, "RECOVERY_S", 0.05),
        (command, "POLL_S", 0.01),
    ):
        monkeypatch.setattr(place, name, double)
    return held


WHOLE = ["settled proxmox01", "settled proxmox01", "stop proxmox01", "start proxmox01-install", "settled None"]


def test_a_node_is_stopped_watched_and_started(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    with chronicle.kept() as kept:
        command.drill("dev", None, yes=True)
    assert held.did == WHOLE
    assert held.off == set()
    assert kept.changed
    assert [(one.where, one.what) for one in kept.acts] == [
        ("proxmox01", "its power was cut"),
        ("proxmox01", "started"),
    ]
    assert kept.drill is not None
    assert [(one.sid, one.last_answer, one.answering, one.node) for one in kept.drill.guests] == [
        ("vm:200", -1, 1.1, "proxmox02")
    ]
    assert [one.sid for one in kept.drill.others] == ["ct:300"]
    said = capsys.readouterr().out
    assert "the power of its VM 101 on virtual is cut" in said
    assert "HA starts them elsewhere: vm:200" in said
    assert "Corosync's are real" not in said


def test_the_time_scale_of_the_site_is_told(
    held: Held, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NESTED_PVE_SITE_TIME_SCALE", "0.1")
    command.drill("dev", "proxmox01", yes=True)
    assert held.did == WHOLE
    assert "HA's delays are 0.1 times the real ones here; Corosync's are real." in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_node_that_an_earlier_drill_left_off_is_started_first(held: Held) -> None:
    held.off.add("proxmox03")
    command.drill("dev", None, yes=True)
    assert held.did == ["start proxmox03-install", "settled None", *WHOLE]


def test_guests_that_do_not_come_back_are_named_and_the_node_is_started(held: Held) -> None:
    held.recovers = False
    with chronicle.kept() as kept, pytest.raises(AdminError) as error:
        command.drill("dev", None, yes=True)
    assert (error.value.code, error.value.observed) == ("guests-not-recovered", "vm:200")
    assert held.did == WHOLE[:-1]
    assert kept.drill is not None
    assert kept.drill.silent == ["vm:200"]


def test_a_stop_that_fails_starts_the_node_all_the_same(held: Held) -> None:
    held.fails["stop proxmox01"] = AdminError("command-failed", "it is locked")
    with pytest.raises(AdminError, match="it is locked"):
        command.drill("dev", None, yes=True)
    assert held.did == WHOLE[:-1]


def test_why_the_stop_failed_counts_more_than_why_the_start_did(held: Held) -> None:
    held.fails["stop proxmox01"] = AdminError("command-failed", "it is locked")
    held.fails["start proxmox01-install"] = AdminError("host-unreachable", "no host")
    with pytest.raises(AdminError, match="it is locked"):
        command.drill("dev", None, yes=True)


@pytest.mark.parametrize(
    ("node", "code"), [("proxmox09", "node-unknown"), ("proxmox03", "drill-no-guests"), ("proxmox01", "drill-guest-unmanaged")]
)  # fmt: skip
def test_what_is_refused_before_anything_is_done(held: Held, node: str, code: str) -> None:
    held.managed = False
    with pytest.raises(AdminError) as refused:
        command.drill("dev", node, yes=True)
    assert refused.value.code == code
    assert [one for one in held.did if not one.startswith("settled")] == []


def test_nothing_is_touched_without_a_yes(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    def confirm(question: str) -> None:
        held.note(question)
        raise AdminError("not-confirmed", "the answer was no")

    monkeypatch.setattr(confirmation, "confirm", confirm)
    for off, asked in (
        ({"proxmox03"}, ["Start these nodes first?"]),
        (set(), [WHOLE[0], "Cut the power of proxmox01?"]),
    ):
        held.off, held.did = set(off), []
        with pytest.raises(AdminError, match="the answer was no"):
            command.drill("dev", None, yes=False)
        assert held.did == asked


def test_guests_that_nobody_sees_beforehand_stop_it(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "samples", list)
    with pytest.raises(AdminError) as refused:
        command.drill("dev", None, yes=True)
    assert refused.value.code == "drill-guest-silent"
    assert held.did == WHOLE[:1]


def test_one_that_is_interrupted_says_that_the_node_is_off(
    held: Held, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever presses Ctrl-C does not wait for a node to boot."""

    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_recovered", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command.drill("dev", None, yes=True)
    assert held.did == WHOLE[:3]
    assert "proxmox01 is off: the next `make drill` or `make up` starts it" in capsys.readouterr().out
