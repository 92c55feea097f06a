"""A preview that looks refuses what `up` refuses, and changes neither the state nor a machine."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli import preview
from cli.looks import first_look, preparing, settling, withdrawal
from cli.run import drifted, looking
from cli.run.loaded import LoadedStack
from cli.state import ownership
from cli.state.belongings import CLUSTER
from cluster.errors import AdminError
from components.recorded import BRIDGE_TYPE, VM_TYPE
from onnode.errors import StepError
from tests.unit.cli.looks.test_settling import ON, without_vote
from tests.unit.cli.run.test_comparison import Engine, compared
from tests.unit.cli.state.test_belongings import (
    HA01,
    HOST,
    INTERFACES,
    OURS,
    RESOURCES,
    THEIRS,
    VM01,
    entry,
    guest,
    look,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.description import Description
    from cluster.marks import Look

FOREIGN = INTERFACES.replace("#stack-dev", "#mine")
ALIVE = {HOST: [look(guest(101, OURS))]}
NODE_VM = entry(VM_TYPE, {"vmId": 101, "nodeName": HOST}, "virtual-api", "proxmox01-vm")
JOINED = {"urn": "urn:pulumi:dev::p::command:local:Command::cluster-join-proxmox01", "type": "command:local:Command"}
BRIDGE = entry(BRIDGE_TYPE, {"nodeName": HOST, "name": "vmbr1"}, "virtual-api", "virtual-vmbr1")
NOTHING: dict[str, Any] = {"deployment": {}}


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines over copies of the state; a test that acts on a machine fails."""
    made: list[Engine] = []

    @contextmanager
    def scratch(_: object, recorded: dict[str, Any]) -> Iterator[Engine]:
        made.append(Engine(recorded))
        yield made[-1]

    def acted(_: object, bridges: list[Any]) -> None:
        assert not bridges, "taken back on the host"

    monkeypatch.setattr(preview, "scratch", scratch)
    monkeypatch.setattr(LoadedStack, "trusting", lambda loaded, _: loaded)
    monkeypatch.setattr(looking, "let_guests_settle", lambda *_: None)
    monkeypatch.setattr(drifted, "refreshed", lambda loaded, _: (loaded, ()))
    monkeypatch.setattr(preview, "show", lambda *_: [])
    monkeypatch.setattr(settling, "wait", lambda *_: None)
    monkeypatch.setattr(withdrawal, "withdraw", acted)
    return made


def previewed(monkeypatch: pytest.MonkeyPatch, dev: Description, engine: Engine, looks: dict[str, list[Look]]) -> None:
    previewed_as(monkeypatch, dev, engine, first_look.FirstLook(looks, {}, []))


def previewed_as(
    monkeypatch: pytest.MonkeyPatch, dev: Description, engine: Engine, found: first_look.FirstLook
) -> None:
    monkeypatch.setattr(first_look, "look", lambda *_, **__: found)
    loaded: Any = LoadedStack(dev, engine, engine.export())  # type: ignore[arg-type]
    preview.show_drift(loaded)


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize(
    ("code", "recorded", "looks"),
    [
        ("guest-foreign", state(), {CLUSTER: [look(guest(200, THEIRS))]}),
        ("guest-foreign", state(VM01), {CLUSTER: [look(guest(200, THEIRS))]}),
        ("guest-foreign", state(VM01), {CLUSTER: [look(guest(300, THEIRS, kind="lxc"))]}),
        ("guest-foreign", state(VM01), {CLUSTER: [look(guest(9000, THEIRS))]}),
        ("ha-foreign", state(HA01), {CLUSTER: [look({RESOURCES: "vm: 200\n\tcomment mine\n"})]}),
        ("foreign-vmid", state(), {HOST: [look(guest(101, THEIRS))]}),
        ("foreign-bridge", state(), {HOST: [look({"etc/network/interfaces": FOREIGN})]}),
        ("vm-moved", state(NODE_VM), {HOST: [look(guest(101, OURS, "elsewhere"))]}),
        ("state-lost", NOTHING, ALIVE),
        ("member-vm-missing", state(NODE_VM, JOINED), {HOST: [look({})]}),
    ],
)
def test_it_refuses_with_the_same_words_and_records_nothing(
    monkeypatch: pytest.MonkeyPatch,
    dev: Description,
    code: str,
    recorded: dict[str, Any],
    looks: dict[str, list[Look]],
) -> None:
    """It was green where `up` refused."""
    said = []
    runs: tuple[Callable[[Engine], object], ...] = (
        lambda engine: compared(dev, engine, looks, adopting=False),
        lambda engine: previewed(monkeypatch, dev, engine, looks),
    )
    for run in runs:
        engine = Engine(recorded)
        with pytest.raises(AdminError) as refused:
            run(engine)
        said.append((refused.value.code, refused.value.render()))
        assert (engine.state, engine.ran) == (recorded, [])
    assert said == [(code, said[0][1])] * 2


def test_a_vm_of_somebody_else_is_forgotten_in_the_copy_only(
    monkeypatch: pytest.MonkeyPatch, dev: Description, copies: list[Engine], capsys: pytest.CaptureFixture[str]
) -> None:
    guests = [one for one in dev.config.guests if one.vmid != 200]
    without = replace(dev, config=dev.config.model_copy(update={"guests": guests}))
    engine = Engine(state(VM01))
    previewed(monkeypatch, without, engine, {CLUSTER: [look(guest(200, THEIRS))]})
    assert "left alone: VM 200 (precious)" in capsys.readouterr().out
    assert copies[0].state == state()
    assert engine.state == state(VM01)


def test_what_is_there_and_ours_is_recorded_in_the_copy_only(
    monkeypatch: pytest.MonkeyPatch, dev: Description, copies: list[Engine]
) -> None:
    engine = Engine(state(VM01))
    previewed(monkeypatch, dev, engine, ALIVE)
    assert "proxmox01-vm" in {one["urn"].rpartition("::")[2] for one in copies[0].state["deployment"]["resources"]}
    assert (engine.state, engine.ran) == (state(VM01), [])


def test_a_bridge_that_was_never_brought_up_is_not_taken_back(
    monkeypatch: pytest.MonkeyPatch, dev: Description, copies: list[Engine]
) -> None:
    """A run takes the plan back on the host, and makes the bridge; the preview shows that it is made."""
    pending = {"etc/network/interfaces": "", "etc/network/interfaces.new": INTERFACES}
    engine = Engine(state(BRIDGE))
    previewed(monkeypatch, dev, engine, {HOST: [look(pending)]})
    assert copies[0].state == state()
    assert engine.state == state(BRIDGE)


def test_a_host_that_does_not_answer_has_not_lost_its_vms(
    monkeypatch: pytest.MonkeyPatch, dev: Description, copies: list[Engine]
) -> None:
    previewed(monkeypatch, dev, Engine(state(NODE_VM, JOINED)), {})
    assert copies[0].state == state(NODE_VM, JOINED)
    assert ownership.compare(dev, state(NODE_VM), {}) == ownership.Findings()


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize(("found", "said"), [(without_vote(2), True), (ON, False)])
def test_a_member_that_missed_a_change_is_named_as_what_up_does_first(
    monkeypatch: pytest.MonkeyPatch,
    dev: Description,
    capsys: pytest.CaptureFixture[str],
    found: first_look.FirstLook,
    *,
    said: bool,
) -> None:
    """Only `make up` said it; where nobody is without a vote, nobody is asked."""
    monkeypatch.setattr(preparing, "behind", lambda _: ["proxmox02"])
    previewed_as(monkeypatch, dev, Engine(NOTHING), found)
    told = [line for line in capsys.readouterr().out.splitlines() if "make up" in line]
    assert [line.startswith("  proxmox02: no vote, and a corosync.conf from before") for line in told] == [True] * said


@pytest.mark.usefixtures("copies")
def test_a_preview_is_made_while_nobody_can_tell_who_missed_a_change(
    monkeypatch: pytest.MonkeyPatch, dev: Description, capsys: pytest.CaptureFixture[str]
) -> None:
    def behind(_: Description) -> list[str]:
        raise StepError("pve-filesystem-hangs", "no answer")

    monkeypatch.setattr(preparing, "behind", behind)
    previewed_as(monkeypatch, dev, Engine(NOTHING), without_vote(2))
    assert "corosync.conf" not in capsys.readouterr().out
