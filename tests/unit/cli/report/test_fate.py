"""A plan threatens no guest of somebody else's, and names the one that it destroys as it is."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from cli.report import fate, terminal
from cli.report.plan import read
from components.recorded import GUEST
from tests.support.program import change, stack_file
from tests.unit.cli.report.test_changes import facts
from tests.unit.cli.report.test_markdown import designed
from tests.unit.cli.state.test_belongings import guest, look

if TYPE_CHECKING:
    from cli.report.fate import Evidence

MARK = "tags: nested-pve-ha;stack-dev\n"
BEFORE = facts(stack_file("dev"))


def state(*names: str) -> dict[str, Any]:
    parent = f"urn:pulumi:dev::p::{GUEST}::vm01"
    return {"deployment": {"resources": [{"urn": f"{parent.replace('vm01', '')}{name}"} for name in names]}}


RECORDED = state("vm01-vm", "vm01-ha", "ct01-container")


def told(seen: Evidence, **values: Any) -> list[str]:  # noqa: ANN401 - what the file says
    """What a preview shows when a guest is taken out of the file, or something of it changes."""
    config = copy.deepcopy(stack_file("dev"))
    if values:
        config = change(config, values["changed"])
    else:
        config["guests"] = []
    return [terminal.line(one) for one in terminal.changes(read([designed(BEFORE, facts(config))]), seen)]


def seen(files: dict[str, str], recorded: dict[str, Any] = RECORDED) -> Evidence:
    return fate.evidence(recorded, [look(files)])


def test_a_preview_that_looked_at_nobody_says_what_is_recorded() -> None:
    assert told(fate.evidence(RECORDED)) == [
        "! destroys data: guest ct01: CT 300 is destroyed with its disks, if it is still this stack's",
        "! destroys data: guest vm01: VM 200 is destroyed with its disks, if it is still this stack's",
    ]
    assert told(fate.evidence(state())) == [
        "  guest ct01: is forgotten: CT 300 is not recorded any more, and nothing of it is touched",
        "  guest vm01: is forgotten: VM 200 is not recorded any more, and nothing of it is touched",
    ]


def test_what_is_destroyed_is_named_as_it_is() -> None:
    files = guest(200, f"name: colleague2\n{MARK}") | guest(300, f"hostname: ct01\n{MARK}", kind="lxc")
    assert told(seen(files)) == [
        "! destroys data: guest ct01: CT 300 (ct01) on virtual, tags: nested-pve-ha, stack-dev is destroyed with its disks",
        "! destroys data: guest vm01: VM 200 (colleague2) on virtual, tags: nested-pve-ha, stack-dev is destroyed with its disks",
    ]


@pytest.mark.parametrize("recorded", [state(), state("vm01-verify-guest")])
def test_a_vm_of_somebody_else_is_not_threatened(recorded: dict[str, Any]) -> None:
    """The record of it is forgotten by then, in this run or in an earlier one that failed."""
    assert told(seen(guest(200, "name: colleague"), recorded)) == [
        "  guest ct01: is forgotten: CT 300 is gone already",
        "  guest vm01: is forgotten: VM 200 (colleague) on virtual, tags: none is not this stack's, and left alone",
    ]


def test_a_guest_that_gets_another_number_loses_nothing_that_is_not_ours() -> None:
    changed = {"changed": {"guests.0.vmid": 250}}
    (line,) = told(seen(guest(200, "name: colleague"), state()), **changed)
    assert (
        line
        == "  guest vm01: vmid 200 → 250 (VM 200 (colleague) on virtual, tags: none is not this stack's, and left alone)"
    )
    (line,) = told(seen({}), **changed)
    assert line == "  guest vm01: vmid 200 → 250 (VM 200 is gone already)"
    for known in (seen(guest(200, f"name: vm01\n{MARK}")), fate.evidence(RECORDED)):
        (line,) = told(known, **changed)
        assert line.startswith(
            "! `up` refuses: guest vm01: vmid 200 → 250 (a guest keeps it: docs/recovery.md#guest-changed"
        )


def test_machines_that_cannot_speak_for_the_cluster_tell_nothing() -> None:
    """What one beside the cluster has is not what the cluster has."""
    beside = look(guest(200, "name: colleague"), cluster="")
    assert fate.evidence(RECORDED, [beside]).there is None
    assert fate.evidence(RECORDED, []).there is None
