"""The lab that a state was made in: a state of another lab is forgotten or refused, a lab has one stack at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.state import lab_instance
from cluster.errors import AdminError
from components import recorded

if TYPE_CHECKING:
    from pathlib import Path


def resources(lab: str | None) -> list[dict[str, Any]]:
    inputs = {"pveMajor": 9} | ({recorded.LAB: lab} if lab else {})
    return [{"type": "pulumi:pulumi:Stack"}, {"type": recorded.DESIGN, "inputs": inputs}, {"type": "other"}]


@pytest.mark.parametrize(
    ("made_in", "now", "gone"),
    [
        ("first", "first", False),
        ("first", "second", True),
        ("first", None, False),  # outside of a lab nothing is known about labs
        (None, "second", False),  # made on machines of one's own, or before labs had names
    ],
)
def test_a_state_of_another_lab_describes_what_is_gone(
    made_in: str | None,
    now: str | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    gone: bool,
) -> None:
    monkeypatch.delenv(recorded.LAB_VARIABLE, raising=False)
    if now:
        monkeypatch.setenv(recorded.LAB_VARIABLE, now)
    state = {"version": 3, "deployment": {"resources": resources(made_in), "pending_operations": [{}]}}
    assert lab_instance.is_gone(state) is gone
    if not gone:
        lab_instance.refuse_gone(state)
        return
    with pytest.raises(AdminError) as refused:
        lab_instance.refuse_gone(state)
    assert refused.value.code == "lab-is-new"
    assert not lab_instance.is_gone(lab_instance.forgotten(state))
    assert lab_instance.forgotten(state) == {"version": 3, "deployment": {"resources": []}}


def test_an_empty_state_is_of_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(recorded.LAB_VARIABLE, "second")
    assert not lab_instance.is_gone({"deployment": {}})


@pytest.mark.parametrize(("lab", "refused"), [("first", True), ("second", False), (None, False)])
def test_a_lab_has_one_stack_at_a_time(
    tmp_path: Path,
    lab: str | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refused: bool,
) -> None:
    monkeypatch.setenv(recorded.LAB_VARIABLE, "first")
    stacks = tmp_path / "stacks" / "nested-pve-ha"
    stacks.mkdir(parents=True)
    checkpoint = {"version": 3, "checkpoint": {"latest": {"resources": resources(lab)}}}
    (stacks / "dev.json").write_text(json.dumps(checkpoint))
    (stacks / "empty.json").write_text(json.dumps({"version": 3, "checkpoint": {"stack": "empty"}}))
    lab_instance.refuse_shared("dev", tmp_path)  # its own state is in nobody's way
    if not refused:
        lab_instance.refuse_shared("twonode", tmp_path)
        return
    with pytest.raises(AdminError) as caught:
        lab_instance.refuse_shared("twonode", tmp_path)
    assert caught.value.code == "lab-in-use"
    assert caught.value.fix is not None
    assert "make down" in caught.value.fix
