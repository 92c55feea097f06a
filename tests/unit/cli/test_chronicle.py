"""What is seen and done is entered in the chronicle of the command that runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import chronicle, console
from cli.chronicle import Remark
from cli.drift import look as drift
from cli.drift import questions
from cli.engine.engine import Engine, Run
from cli.run import engine_runs
from cli.run.loaded import LoadedStack
from cli.status import command
from cli.status.model import Finding
from cluster.errors import AdminError
from cluster.transport import shipped
from onnode.contract.documents import document
from onnode.contract.look import LookReport, StepLook
from tests.unit.cluster.worlds import joined, member

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.description import Description

SILENT = AdminError("host-unreachable", "proxmox02 does not answer")
EXPORTED = {"deployment": {"resources": [{"urn": "urn::vm01"}]}}


def test_stages_with_their_time_and_the_one_that_failed() -> None:
    with chronicle.kept() as kept:
        with console.stage("Look"):
            pass
        with pytest.raises(AdminError), console.stage("Run"), console.stage("Refresh"):
            raise SILENT
    assert [(one.name, one.failed) for one in kept.stages] == [("Look", False), ("Refresh", True), ("Run", True)]
    assert all(one.seconds >= 0 for one in kept.stages)


@pytest.mark.parametrize(
    ("operation", "is_kept"), [("up", True), ("destroy", True), ("refresh", True), ("preview", False)]
)
def test_runs_of_the_engine_that_change_something(
    operation: str, dev: Description, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    event = {"resourcePreEvent": {"metadata": {"op": "same", "urn": "urn::vm01", "type": "x"}}}

    def run(_engine: Engine, _operation: str, *_: str, on_event: Callable[[Any], None]) -> Run:
        on_event(event)
        return Run(0, "")

    monkeypatch.setattr(Engine, "run", run)
    with chronicle.kept() as kept:
        kept.state = EXPORTED
        engine_runs.run(LoadedStack(dev, Engine("dev", {}), {}), operation)
    assert [(one.operation, one.state, [event for _, event in one.events]) for one in kept.runs] == (
        [(operation, EXPORTED, [event])] if is_kept else []
    )


def test_the_state_as_it_was_exported_last_and_never_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess((), 0, json.dumps(EXPORTED), "")
    monkeypatch.setattr(Engine, "query", lambda *_: done)
    with chronicle.kept() as kept:
        Engine("dev", {}).export(in_clear=True)
        assert kept.state == {}
        Engine("dev", {}).export()
    assert kept.state == EXPORTED


def test_what_nodes_say_at_the_look_before_a_run(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was asked of them for other reasons: the report asks nothing itself."""
    told = joined(1, 1, 2, 3)
    asked: list[str] = []

    async def run(connection: Any, step: str, *_: object, **__: object) -> SimpleNamespace:  # noqa: ANN401
        asked.append(f"{connection.machine.name} {step}")
        await asyncio.sleep(0)
        return SimpleNamespace(facts=document(LookReport([StepLook(drift.MEMBERSHIP, [], facts=document(told))], [])))

    async def files(*_: object) -> dict[str, str]:
        await asyncio.sleep(0)
        return {}

    monkeypatch.setattr(shipped, "run", run)
    monkeypatch.setattr(drift, "_files", files)
    opened: Any = {"proxmox01": SimpleNamespace(machine=member(1)), "proxmox02": SILENT}
    monkeypatch.setattr(questions, "of", lambda *_: questions.Questions(there={"proxmox01": [], "proxmox02": []}))
    with chronicle.kept() as kept:
        asyncio.run(drift.over(opened, dev, {"deployment": {}}))
    assert kept.before == {"proxmox01": told, "proxmox02": SILENT}
    assert kept.after is None
    assert asked == ["proxmox01 look"]


def test_the_live_status_at_the_end() -> None:
    seen: Any = {"proxmox01": SimpleNamespace(health="its health"), "proxmox02": SILENT}
    with chronicle.kept() as kept:
        kept.looked({"proxmox01": joined(1, 1)})
        command._note(seen, [Finding("proxmox02", "is silent", "wait")], [Finding("proxmox01", "rests", "")])
    assert kept.after == {"proxmox01": "its health", "proxmox02": SILENT}
    assert kept.findings == [Remark("proxmox02", "is silent", "wait")]
    assert kept.passing == [Remark("proxmox01", "rests", "")]
