"""What `status` refuses before it compares: machines on which another stack is built, or that were replaced."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli import description, preview
from cli.engine import engine, environment
from cli.looks import trust
from cli.status import command
from cluster.errors import AdminError
from components.recorded import DESIGN, INSTANCE, INSTANCE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.description import Description

COMPARED = "compared with what the machines show"


def built(instance: str) -> dict[str, Any]:
    return {"resources": [{"type": DESIGN, "urn": "urn::design", "inputs": {INSTANCE: instance}}]}


@pytest.fixture
def backend(tmp_path: Path, dev: Description, monkeypatch: pytest.MonkeyPatch) -> Path:
    """States in files; every look at a machine ends the command."""
    stacks = tmp_path / ".pulumi" / "stacks" / "nested-pve-ha"
    stacks.mkdir(parents=True)
    monkeypatch.setenv(INSTANCE_VARIABLE, "this lab")
    monkeypatch.setattr(environment, "for_engine", lambda: {environment.BACKEND_VARIABLE: f"file://{tmp_path}"})
    monkeypatch.setattr(description, "read", lambda *_: dev)
    monkeypatch.setattr(trust, "settings", lambda *_: {})
    monkeypatch.setattr(engine.Engine, "create_stack", lambda _: None)

    def recorded(one: engine.Engine) -> dict[str, Any] | None:
        file = stacks / f"{one.stack}.json"
        return {"deployment": json.loads(file.read_text())["checkpoint"]["latest"]} if file.exists() else None

    async def look(*_: object) -> None:
        raise RuntimeError(COMPARED)

    def show(*_: object) -> None:
        raise RuntimeError(COMPARED)

    monkeypatch.setattr(engine.Engine, "export", recorded)
    monkeypatch.setattr(command, "_look", look)
    monkeypatch.setattr(preview, "show_drift", show)
    return stacks


def record(backend: Path, stack: str, instance: str) -> None:
    (backend / f"{stack}.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": built(instance)}}))


def status(stack: str) -> None:
    command.status(stack, as_json=False)


def preview_that_looks(stack: str) -> None:
    preview.preview(stack, look=True)


LOOKING: list[Callable[[str], None]] = [status, preview_that_looks]


@pytest.mark.parametrize("run", LOOKING)
@pytest.mark.parametrize("recorded", [False, True], ids=["never built", "built in an earlier lab"])
def test_machines_of_another_stack_are_not_compared_with_this_one(
    backend: Path, run: Callable[[str], None], *, recorded: bool
) -> None:
    """The advice was to write what the other stack's machines show into this one's stack file."""
    record(backend, "dev", "this lab")
    if recorded:
        record(backend, "twonode", "an earlier lab")
    with pytest.raises(AdminError) as refused:
        run("twonode")
    assert refused.value.code == "site-in-use"
    with pytest.raises(RuntimeError, match=COMPARED):
        run("dev")


def test_machines_that_were_replaced_are_not_called_switched_off(backend: Path) -> None:
    """Their state describes nodes that are gone: nobody can power them on."""
    record(backend, "dev", "an earlier lab")
    with pytest.raises(AdminError) as refused:
        status("dev")
    assert refused.value.code == "site-is-new"


def test_a_stack_that_was_never_built_is_looked_for(backend: Path) -> None:
    assert list(backend.iterdir()) == []
    with pytest.raises(RuntimeError, match=COMPARED):
        status("dev")
