"""The machines that a state was made on: one of those before is forgotten or refused, and they have one stack at a time."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli import description, preview, shell
from cli.engine import engine, environment
from cli.looks import trust
from cli.state import site_instance
from cli.status import command as status_command
from cluster.errors import AdminError
from components import recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def resources(instance: str | None, key: str = recorded.INSTANCE) -> list[dict[str, Any]]:
    inputs = {"pveMajor": 9} | ({key: instance} if instance else {})
    return [{"type": "pulumi:pulumi:Stack"}, {"type": recorded.DESIGN, "inputs": inputs}, {"type": "other"}]


@pytest.mark.parametrize(
    ("made_in", "now", "gone"),
    [
        ("first", "first", False),
        ("first", "second", True),
        ("first", None, False),  # nobody says which machines these are
        (None, "second", False),  # made where nobody said it
    ],
)
def test_a_state_of_another_instance_describes_what_is_gone(
    made_in: str | None,
    now: str | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    gone: bool,
) -> None:
    monkeypatch.delenv(recorded.INSTANCE_VARIABLE, raising=False)
    if now:
        monkeypatch.setenv(recorded.INSTANCE_VARIABLE, now)
    state = {"version": 3, "deployment": {"resources": resources(made_in), "pending_operations": [{}]}}
    assert site_instance.is_gone(state) is gone
    if not gone:
        site_instance.refuse_gone(state)
        return
    with pytest.raises(AdminError) as refused:
        site_instance.refuse_gone(state)
    assert refused.value.code == "site-is-new"
    assert not site_instance.is_gone(site_instance.forgotten(state))
    assert site_instance.forgotten(state) == {"version": 3, "deployment": {"resources": []}}


@pytest.mark.parametrize(("now", "gone"), [("first", False), ("second", True)])
def test_a_state_of_an_earlier_version_is_told_apart_too(
    now: str, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    monkeypatch.setenv(recorded.INSTANCE_VARIABLE, now)
    state = {"deployment": {"resources": resources("first", site_instance.OLD_INSTANCE)}}
    assert site_instance.is_gone(state) is gone


def test_an_empty_state_is_of_no_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(recorded.INSTANCE_VARIABLE, "second")
    assert not site_instance.is_gone({"deployment": {}})


@pytest.mark.parametrize(("instance", "refused"), [("first", True), ("second", False), (None, False)])
def test_machines_have_one_stack_at_a_time(
    tmp_path: Path,
    instance: str | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refused: bool,
) -> None:
    monkeypatch.setenv(recorded.INSTANCE_VARIABLE, "first")
    stacks = tmp_path / "stacks" / "nested-pve-ha"
    stacks.mkdir(parents=True)
    checkpoint = {"version": 3, "checkpoint": {"latest": {"resources": resources(instance)}}}
    (stacks / "dev.json").write_text(json.dumps(checkpoint))
    (stacks / "empty.json").write_text(json.dumps({"version": 3, "checkpoint": {"stack": "empty"}}))
    site_instance.refuse_shared("dev", tmp_path)  # its own state is in nobody's way
    if not refused:
        site_instance.refuse_shared("twonode", tmp_path)
        return
    with pytest.raises(AdminError) as caught:
        site_instance.refuse_shared("twonode", tmp_path)
    assert caught.value.code == "site-in-use"
    assert "`make down`, then" in caught.value.fix
    assert "with STACK=dev;" in caught.value.fix


def status_of_twonode() -> None:
    status_command.status("twonode", as_json=False)


def preview_of_twonode() -> None:
    preview.preview("twonode", look=True)


def shell_of_twonode() -> None:
    """Plain `pulumi up` in it would build one stack over the other."""
    shell.environment_of("twonode", complete=False)


@pytest.mark.parametrize("command", [status_of_twonode, preview_of_twonode, shell_of_twonode])
@pytest.mark.parametrize("free", [True, False])
def test_who_looks_at_machines_of_another_stack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], *, free: bool
) -> None:
    """What differs there would be advice for the wrong stack file."""
    stacks = tmp_path / ".pulumi" / "stacks" / "nested-pve-ha"
    stacks.mkdir(parents=True)
    latest = {"resources": [] if free else resources("first")}
    (stacks / "dev.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    monkeypatch.setenv(recorded.INSTANCE_VARIABLE, "first")
    monkeypatch.setattr(environment, "for_engine", lambda: {environment.BACKEND_VARIABLE: f"file://{tmp_path}"})
    monkeypatch.setattr(description, "read", lambda stack, _env: SimpleNamespace(stack=stack, config=None))

    def goes_on(*_: object) -> None:
        raise StopIteration

    monkeypatch.setattr(engine, "Engine", goes_on)
    monkeypatch.setattr(trust, "settings", lambda *_: {})
    monkeypatch.setattr(status_command, "wanted_of", goes_on)
    if free:
        with pytest.raises(StopIteration):
            command()
        return
    with pytest.raises(AdminError, match="site-in-use: stack dev lives on these machines"):
        command()
