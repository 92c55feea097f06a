"""Several machines are asked at once, and people see which one is waited for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import AdminError
from cluster.transport import members

if TYPE_CHECKING:
    from cluster.transport.members import Opened

SLOW_S, QUIET_S = 0.2, 0.05


def opened(*silent: str) -> Opened:
    names = ("proxmox01", "proxmox02", "proxmox03")
    machines: dict[str, Any] = {
        name: SimpleNamespace(machine=SimpleNamespace(name=name), is_announced=False) for name in names
    }
    return machines | {name: AdminError("host-unreachable", f"{name} cannot be reached") for name in silent}


def ask(machines: Opened, *slow: str, times: int = 1, **waiting: str) -> None:
    """Ask the same machines so many questions at the same time, to which some answer late."""

    async def question(connection: Any) -> str:  # noqa: ANN401 - a double
        await asyncio.sleep(SLOW_S if connection.machine.name in slow else 0)
        return "answer"

    async def all_asked() -> None:
        await asyncio.gather(*(members.ask(machines, question, **waiting) for _ in range(times)))

    asyncio.run(all_asked())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "QUIET_S", QUIET_S)


def test_a_machine_that_is_waited_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With two of three nodes killed, `make up` showed nothing for 65 s."""
    ask(opened("proxmox01"), "proxmox03")
    assert capsys.readouterr().err == "  waiting for proxmox03 to answer over SSH\n"


def test_machines_that_answer_soon_are_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    ask(opened("proxmox01"))
    assert capsys.readouterr().err == ""


def test_several_questions_at_once_name_a_machine_once(capsys: pytest.CaptureFixture[str]) -> None:
    machines = opened()
    ask(machines, "proxmox02", "proxmox03", times=3)
    ask(machines, "proxmox02")
    assert capsys.readouterr().err == "  waiting for proxmox02, proxmox03 to answer over SSH\n"


@pytest.mark.parametrize(
    ("waiting", "said"), [("", ""), ("to read its image", "  waiting for proxmox02 to read its image\n")]
)
def test_a_question_may_name_what_takes_long_or_show_it_itself(
    capsys: pytest.CaptureFixture[str], waiting: str, said: str
) -> None:
    ask(opened(), "proxmox02", waiting=waiting)
    assert capsys.readouterr().err == said
