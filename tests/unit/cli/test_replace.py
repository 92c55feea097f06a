"""A machine that is installed again is waited for, and no longer than it must; another one that answers is named at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from cli import description, replace
from cli.engine import environment
from cluster import waiting
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.transport import ssh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cli.description import Description

MACHINE = Machine("pve2", "192.168.0.102", "ssh-ed25519 AAAA")
SILENT = AdminError("host-unreachable", "it cannot be reached over SSH", observed="no answer")
ANOTHER = AdminError("host-key-mismatch", "it is not the machine", observed="another key")


def answers(monkeypatch: pytest.MonkeyPatch, *errors: AdminError) -> list[float]:
    """The machine answers after these; returns how long each try was given."""
    left, tried = list(errors), []

    @asynccontextmanager
    async def connect(machine: Machine, _key: str, *, timeout_s: float) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        assert machine == MACHINE
        tried.append(timeout_s)
        if left:
            raise left.pop(0)
        yield

    monkeypatch.setattr(ssh, "connect", connect)
    return tried


def test_it_is_waited_for_and_each_minute_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = answers(monkeypatch, SILENT, SILENT)
    asyncio.run(replace._answers(MACHINE, "key"))
    assert tried == [replace.TELL_S] * 3
    said = capsys.readouterr().out
    assert "pve2 does not answer at 192.168.0.102 yet (1 of 60 min)" in said
    assert "(2 of 60 min)" in said


def test_the_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace, "WAIT_S", 180.0)
    tried = answers(monkeypatch, *[SILENT] * 9)
    with pytest.raises(AdminError) as failed:
        asyncio.run(replace._answers(MACHINE, "key"))
    assert (failed.value.code, sum(tried)) == ("host-unreachable", 180.0)


def test_another_machine_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = answers(monkeypatch, SILENT, ANOTHER)
    with pytest.raises(AdminError) as failed:
        asyncio.run(replace._answers(MACHINE, "key"))
    assert (failed.value.code, len(tried)) == ("host-key-mismatch", 2)


def test_a_nested_node_is_not_waited_for_and_an_unknown_one_is_refused(dev: Description) -> None:
    assert replace.machine_of(dev, "proxmox01") is None
    with pytest.raises(AdminError) as refused:
        replace.machine_of(dev, "proxmox09")
    assert refused.value.code == "node-unknown"
    assert "proxmox01, proxmox02, proxmox03" in refused.value.observed


def test_a_machine_that_does_not_answer_soon_is_named_with_its_address(
    physical: Description, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a minute there was only the name of the stage."""
    node = physical.config.nodes[0]

    @asynccontextmanager
    async def connect(*_: object, **__: object) -> AsyncIterator[None]:
        await asyncio.sleep(0.2)
        yield

    monkeypatch.setattr(ssh, "connect", connect)
    monkeypatch.setattr(waiting, "QUIET_S", 0.05)
    monkeypatch.setattr(environment, "for_engine", dict)
    monkeypatch.setattr(environment, "put_back_state", lambda *_: None)
    monkeypatch.setattr(description, "read", lambda *_: physical)
    replace.wait_for("physical", node.name)
    assert capsys.readouterr().err == f"  {node.name} does not answer at {node.address} yet; waiting for up to 60 min\n"
