"""An existing machine belongs to one stack: the first one is written down there, and every other one is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.run import reconciling
from cli.run.loaded import LoadedStack
from cli.state import ownership
from cli.state.belongings import CLUSTER
from cluster import claims, marks, proxmox_ve
from cluster.call import Call
from cluster.contract import Claim, Machine, Secrets
from cluster.errors import AdminError
from cluster.steps import claim
from cluster.transport import ssh
from cluster.transport.ssh import Completed
from tests.unit.cli.run.test_comparison import Engine
from tests.unit.cli.state.test_belongings import look, state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cli.description import Description

MACHINE = Machine("pve1", "192.168.0.101", "ssh-ed25519 AAAA")
CALL = Call(Secrets("key"))


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where it is written on the machine, whose shell is this one's."""
    path = tmp_path / "lib" / "stack"
    monkeypatch.setattr(claims, "FILE", str(path))

    async def run(command: str, *, timeout_s: float) -> Completed:
        words = ["sh", "-c", command]
        done = await asyncio.to_thread(
            subprocess.run, words, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    @asynccontextmanager
    async def connect(machine: Machine, private_key: str) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        assert (machine, private_key) == (MACHINE, CALL.secrets.ssh_private_key)
        yield SimpleNamespace(machine=machine, run=run)

    monkeypatch.setattr(ssh, "connect", connect)
    return path


def enter(stack: str) -> bool:
    return asyncio.run(claim.bring_about(Claim(MACHINE, stack), CALL)).changed


def leave(stack: str) -> None:
    asyncio.run(claim.remove(Claim(MACHINE, stack), CALL))


def test_the_first_stack_has_it_and_the_next_one_only_when_that_has_left(file: Path) -> None:
    assert [enter("home"), enter("home")] == [True, False]
    for other in ("office", "Home"):
        with pytest.raises(AdminError) as refused:
            enter(other)
        assert refused.value.code == "machine-taken"
        assert refused.value.observed == f"{file} on pve1 names stack home"
        assert f"`rm {file}` on pve1" in refused.value.fix
        leave(other)
        assert file.read_text() == "home\n"
    assert [path.name for path in file.parent.iterdir()] == ["stack"]
    leave("home")
    assert not file.exists()
    leave("home")
    assert enter("office")


def test_where_nothing_can_be_written_it_is_said(file: Path) -> None:
    file.parent.write_text("a file where the directory should be")
    with pytest.raises(AdminError) as refused:
        enter("home")
    assert refused.value.code == "command-failed"
    assert "the owner of pve1 cannot be recorded" in refused.value.what


def test_a_dead_machine_holds_up_no_destroy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def dead(*_: object, **__: object) -> AsyncIterator[None]:
        raise AdminError("host-unreachable", "pve1 cannot be reached")
        yield

    monkeypatch.setattr(ssh, "connect", dead)
    leave("home")
    assert f"{claims.FILE} stays on pve1" in capsys.readouterr().err


def shown(owner: str, machine: str = "pve1") -> dict[str, list[marks.Look]]:
    return {CLUSTER: [dataclasses.replace(look({}, machine, "physical", "physical"), owner=owner)]}


def compared(described: Description, engine: Engine, looks: dict[str, list[marks.Look]], *, adopting: bool) -> None:
    loaded = LoadedStack(described, engine, engine.export(), looks, adopting)  # type: ignore[arg-type]
    reconciling.with_machines(loaded)


def test_the_look_before_a_run_refuses_another_stacks_machine(physical: Description, dev: Description) -> None:
    engine = Engine(state())
    with pytest.raises(AdminError) as refused:
        compared(physical, engine, shown("office"), adopting=False)
    assert refused.value.code == "machine-taken"
    assert (engine.ran, engine.state) == ([], state())
    # A VM of this stack's own has its mark; what another stack has entered inside is that one's affair.
    assert ownership.compare(dev, state(), shown("office", "proxmox01")).claimed == []


@pytest.mark.parametrize("owner", ["", "physical"])
def test_one_that_this_stack_has_entered_needs_its_state(physical: Description, owner: str) -> None:
    """The same name in another project folder, where nothing of it is recorded."""
    engine = Engine(state())
    compared(physical, engine, shown(owner), adopting=True)
    if not owner:
        compared(physical, engine, shown(owner), adopting=False)
        return
    with pytest.raises(AdminError) as refused:
        compared(physical, engine, shown(owner), adopting=False)
    assert refused.value.code == "state-lost"
    assert "machine pve1" in refused.value.observed
    assert "make adopt STACK=physical" in refused.value.fix


def test_the_look_reads_it() -> None:
    assert claims.FILE[1:] in proxmox_ve.READ
