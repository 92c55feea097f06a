"""The machines that a state was made on: one of those before is forgotten or refused, and they have one stack at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.state import site_instance
from cluster.errors import AdminError
from components import recorded

if TYPE_CHECKING:
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
    assert "make down" in caught.value.fix
