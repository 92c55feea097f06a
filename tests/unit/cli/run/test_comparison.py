"""What a run does with what is there, before the engine is let go."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import down
from cli.looks import first_look, whereabouts, withdrawal
from cli.run import loading, looking, reconciling
from cli.run.loaded import LoadedStack
from cli.state.belongings import CLUSTER
from cluster import marks, proxmox_ve
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from cluster.transport import members
from cluster.transport.ssh import Completed
from tests.unit.cli.state.test_belongings import EVENTS, HOST, OURS, THEIRS, VM01, guest, look, state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from cli.description import Description
    from cli.state.belongings import DescribedThing
    from cluster.contract import Machine


class Engine:
    """Keeps a state, and says what a preview would create."""

    stack = "dev"

    def __init__(self, recorded: dict[str, Any]) -> None:
        self.state = recorded
        self.ran: list[str] = []

    def export(self, *, in_clear: bool = False) -> dict[str, Any]:
        del in_clear
        return copy.deepcopy(self.state)

    def replace_state(self, seen: dict[str, Any], deployment: dict[str, Any]) -> None:
        assert seen == self.state
        self.state = copy.deepcopy(deployment)

    def run(self, operation: str, *_arguments: str, on_event: Any) -> Any:  # noqa: ANN401 - a run of the engine
        del on_event
        self.ran.append(operation)
        return SimpleNamespace(exit_code=0, events=EVENTS)


def loaded(dev: Description, engine: Engine, looks: dict[str, list[Look]], *, adopting: bool = False) -> LoadedStack:
    return LoadedStack(dev, engine, engine.export(), looks, adopting)  # type: ignore[arg-type]


def compared(dev: Description, engine: Engine, looks: dict[str, list[Look]], *, adopting: bool) -> None:
    reconciling.with_machines(loaded(dev, engine, looks, adopting=adopting))


def test_somebody_elses_guest_is_refused_and_nothing_is_recorded_or_run(dev: Description) -> None:
    engine = Engine(state(VM01))
    before = engine.export()
    with pytest.raises(AdminError) as refused:
        compared(dev, engine, {CLUSTER: [look(guest(200, THEIRS))]}, adopting=False)
    assert refused.value.code == "guest-foreign"
    assert (engine.state, engine.ran) == (before, [])


def test_a_lost_state_is_refused_with_the_command_that_brings_it_back(dev: Description) -> None:
    engine = Engine({"deployment": {}})
    looks = {HOST: [look(guest(101, OURS))]}
    with pytest.raises(AdminError) as refused:
        compared(dev, engine, looks, adopting=False)
    assert refused.value.code == "state-lost"
    assert "VM 101" in refused.value.observed
    assert "make adopt STACK=dev" in refused.value.fix
    assert (engine.state, engine.ran) == ({"deployment": {}}, [])
    compared(dev, engine, looks, adopting=True)
    assert engine.ran == ["preview"]
    assert [entry["urn"].rpartition("::")[2] for entry in engine.state["deployment"]["resources"]] == [
        *("virtual", "virtual-api", "proxmox01", "proxmox01-vm"),
    ]


def test_what_a_dying_plugin_left_is_recorded_without_being_asked(
    dev: Description, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(state(VM01))
    compared(dev, engine, {HOST: [look(guest(101, OURS))]}, adopting=False)
    assert "is recorded now: proxmox01-vm" in capsys.readouterr().out
    assert len(engine.state["deployment"]["resources"]) == 5


@pytest.mark.parametrize(("text", "kept"), [(OURS, 1), (THEIRS, 0)])
def test_what_is_somebody_elses_by_now_is_forgotten_before_a_destroy(dev: Description, text: str, kept: int) -> None:
    engine = Engine(state(VM01))
    reconciling.without_lost(loaded(dev, engine, {CLUSTER: [look(guest(200, text))]}))
    assert len(engine.state["deployment"]["resources"]) == kept


def test_a_destroy_names_what_goes_before_it_asks(
    dev: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name that it has on its node: the record may know it by another."""
    engine = Engine(state(VM01))
    looks = {CLUSTER: [look(guest(200, f"name: colleague2\n{OURS}"))]}
    stack = loaded(dev, engine, {})
    monkeypatch.setattr(loading, "load", lambda *_, **__: stack)
    monkeypatch.setattr(LoadedStack, "trusting", lambda loaded, _: loaded)
    monkeypatch.setattr(looking, "let_guests_settle", lambda *_: None)
    monkeypatch.setattr(first_look, "look", lambda *_, **__: first_look.FirstLook(looks, {}, []))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(AdminError) as refused:
        down.down("dev", yes=False)
    assert (refused.value.code, engine.ran) == ("not-confirmed", [])
    assert "destroyed with its disks: VM 200 (colleague2) on virtual" in capsys.readouterr().out


def test_a_replaced_thing_that_is_gone_is_forgotten_and_not_what_replaced_it(dev: Description) -> None:
    """Both have one URN: the engine makes the new one first, and a run may end in between."""
    replaced = {**VM01, "inputs": {**VM01["inputs"], "vmId": 199}, "delete": True}
    engine = Engine(state(VM01, replaced))
    reconciling.without_lost(loaded(dev, engine, {CLUSTER: [look(guest(200, OURS))]}))
    assert engine.state["deployment"]["resources"] == [VM01]


def test_what_a_dying_plugin_left_is_destroyed_with_the_rest(dev: Description) -> None:
    """It stayed on the host for good: the state knew nothing of it, and was empty afterwards."""
    engine = Engine(state(VM01))
    found = reconciling.with_leftovers(loaded(dev, engine, {HOST: [look(guest(101, OURS))]}))
    assert "proxmox01-vm" in {entry["urn"].rpartition("::")[2] for entry in found.state["deployment"]["resources"]}
    nothing = loaded(dev, engine, {HOST: [look(guest(101, THEIRS))]})
    assert reconciling.with_leftovers(nothing) == nothing
    nothing = loaded(dev, engine, {CLUSTER: [look(guest(200, OURS))]})
    assert reconciling.with_leftovers(nothing) == nothing  # goes with the nodes


def test_a_destroy_without_a_state_says_what_is_there(dev: Description) -> None:
    """ "Nothing to destroy" was said of a cluster that ran."""
    engine = Engine({"deployment": {}})
    with pytest.raises(AdminError) as refused:
        reconciling.with_leftovers(loaded(dev, engine, {HOST: [look(guest(101, OURS))]}))
    assert (refused.value.code, engine.ran) == ("state-lost", [])
    assert "VM 101" in refused.value.observed
    for looks in ({}, {HOST: [look(guest(101, THEIRS))]}, {CLUSTER: [look(guest(200, OURS))]}):
        nothing = loaded(dev, engine, looks)
        assert reconciling.with_leftovers(nothing) == nothing


@pytest.mark.parametrize(("ours", "expected"), [(True, True), (False, False)])
def test_a_node_whose_vm_is_not_there_is_not_waited_for(dev: Description, *, ours: bool, expected: bool) -> None:
    node = next(node for node in dev.config.nodes if node.name == "proxmox01")
    things = (Thing(marks.VM, "101", HOST, ours=ours, shown="VM 101"),)
    assert whereabouts.is_there(node, {HOST: [Look(HOST, HOST, quorate=True, things=things)]}) is expected
    assert not whereabouts.is_there(node, {})


class Host:
    """A connection to a host that notes what is run, and answers with an exit code."""

    def __init__(self, machine: Machine, exit_code: int, ran: list[str]) -> None:
        self.machine, self._exit_code, self._ran = machine, exit_code, ran

    async def run(self, command: str, *, timeout_s: float) -> Completed:
        del timeout_s
        self._ran.append(command)
        return Completed(self._exit_code, "", "no such bridge" if self._exit_code else "")


@pytest.mark.parametrize(("printed", "said"), [("", "exit 1"), ("bm8gYXJjaGl2ZQ==\nbm8gYXJjaGl2ZQ==\n", "exit 1")])
def test_a_machine_whose_files_cannot_be_read_is_not_taken_for_an_empty_one(printed: str, said: str) -> None:
    class Broken:
        machine = SimpleNamespace(name=HOST)

        async def run(self, _command: str, *, timeout_s: float) -> Completed:
            del timeout_s
            return Completed(1, printed, "")

    connection: Any = Broken()
    with pytest.raises(AdminError) as refused:
        asyncio.run(proxmox_ve.look(connection, "dev"))
    assert refused.value.code == "command-failed"
    assert HOST in refused.value.what
    assert said in refused.value.observed


def withdrawn(dev: Description, exit_code: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []

    @asynccontextmanager
    async def connections(machines: Iterable[Machine], *_: object, **__: object) -> AsyncIterator[dict[str, Host]]:
        await asyncio.sleep(0)
        yield {machine.name: Host(machine, exit_code, ran) for machine in machines}

    monkeypatch.setattr(members, "connections", connections)
    bridges: list[DescribedThing] = [SimpleNamespace(place=HOST, name="vmbr2")]  # type: ignore[list-item]
    withdrawal.withdraw(dev, bridges)
    return ran


def test_a_planned_bridge_of_ours_is_taken_back(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    assert withdrawn(dev, 0, monkeypatch) == ["pvesh delete /nodes/$(hostname | cut -d. -f1)/network/vmbr2"]
    with pytest.raises(AdminError) as refused:
        withdrawn(dev, 2, monkeypatch)
    assert refused.value.observed == "no such bridge"
