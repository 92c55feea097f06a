"""What a killed run left in the state: pending creations become resources that the next refresh asks about."""

from __future__ import annotations

from typing import Any

import pytest

from cli.state import interrupted

NODE = "urn:pulumi:dev::nested-pve-ha::nested-pve-ha:index:NestedPveNode::proxmox01"


def resource(kind: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::nested-pve-ha::nested-pve-ha:index:NestedPveNode${kind}::{name}"
    return {
        "urn": urn,
        "custom": True,
        "type": kind,
        "inputs": inputs,
        "parent": NODE,
        "provider": "p::1",
        "dependencies": [NODE],
    }


def exported(*operations: tuple[str, dict[str, Any]], resources: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    pending = [{"resource": made, "type": kind} for kind, made in operations]
    return {"version": 3, "deployment": {"resources": resources or [], "pending_operations": pending}}


VM = resource(
    "proxmoxve:index/vmLegacy:VmLegacy", "proxmox01-vm", {"vmId": 101, "nodeName": "virtual", "name": "proxmox01"}
)
STEP = resource("command:remote:Command", "proxmox01-prepare", {"create": "python3 …"})


def test_a_vm_in_the_making_is_recorded_with_all_that_it_was_made_with() -> None:
    resolved, adopted = interrupted.resolve_pending(exported(("creating", VM)))
    (recorded,) = resolved["deployment"]["resources"]
    assert adopted == [VM["urn"]]
    assert recorded["id"] == "101"
    assert recorded["inputs"] == VM["inputs"]
    assert recorded["outputs"] == {**VM["inputs"], "id": "101"}
    assert (recorded["parent"], recorded["provider"], recorded["dependencies"]) == (NODE, "p::1", [NODE])
    assert resolved["deployment"]["pending_operations"] == []


def test_a_step_in_the_making_is_simply_run_again() -> None:
    resolved, adopted = interrupted.resolve_pending(exported(("creating", STEP)))
    assert adopted == []
    assert resolved["deployment"] == {"resources": [], "pending_operations": []}


def test_what_is_recorded_already_is_not_recorded_twice() -> None:
    resolved, adopted = interrupted.resolve_pending(exported(("creating", VM), resources=[{**VM, "id": "101"}]))
    assert adopted == []
    assert len(resolved["deployment"]["resources"]) == 1


def test_other_pending_work_is_left_to_the_engine() -> None:
    state = exported(("updating", VM), ("creating", STEP))
    resolved, _ = interrupted.resolve_pending(state)
    assert [operation["type"] for operation in resolved["deployment"]["pending_operations"]] == ["updating"]


def test_the_given_state_is_not_changed() -> None:
    state = exported(("creating", VM))
    interrupted.resolve_pending(state)
    assert state == exported(("creating", VM))


@pytest.mark.parametrize(
    ("kind", "inputs", "identity"),
    [
        ("proxmoxve:network/linux/bridge:Bridge", {"nodeName": "virtual", "name": "vmbr1"}, "virtual:vmbr1"),
        ("proxmoxve:storage/nfs:Nfs", {"resourceId": "shared"}, "shared"),
        ("proxmoxve:index/haresource:Haresource", {"resourceId": "vm:200"}, "vm:200"),
        ("proxmoxve:index/harule:Harule", {"rule": "vm01-placement"}, "vm01-placement"),
        ("proxmoxve:index/hagroup:Hagroup", {"group": "vm01-placement"}, "vm01-placement"),
        ("proxmoxve:cluster/options:Options", {}, "cluster"),
        (
            "proxmoxve:download/file:File",
            {"datastoreId": "local", "contentType": "iso", "fileName": "a.iso"},
            "local:iso/a.iso",
        ),
    ],
)
def test_each_kind_is_identified_as_its_provider_does(kind: str, inputs: dict[str, Any], identity: str) -> None:
    resolved, _ = interrupted.resolve_pending(exported(("creating", resource(kind, "made", inputs))))
    recorded = resolved["deployment"]["resources"][0]
    assert recorded["id"] == identity
    # The provider reads by this one: a downloaded image was dropped, and loaded again.
    assert recorded["outputs"]["id"] == identity


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (exported(("creating", VM)), True),
        (exported(("updating", VM)), False),
        (exported(), False),
        ({"deployment": {}}, False),
        ({"deployment": {"pending_operations": None}}, False),
    ],
)
def test_a_killed_run_is_recognized(state: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a case
    assert interrupted.has_pending(state) is expected
