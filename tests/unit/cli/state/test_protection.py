"""VMs of nodes that were left out, and that the engine may not delete: refused before anything is done, or released."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.state import protection
from cluster.errors import AdminError
from components.recorded import NODE, VM_TYPE

if TYPE_CHECKING:
    from cli.description import Description


def vm(node: str, *, protect: bool = True, kind: str = NODE) -> dict[str, Any]:
    found: dict[str, Any] = {"type": VM_TYPE, "urn": f"urn:pulumi:dev::p::{kind}${VM_TYPE}::{node}-vm"}
    found["parent"] = f"urn:pulumi:dev::p::{kind}::{node}"
    return found | ({"protect": True} if protect else {})


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"resources": list(resources)}}


def protecting(dev: Description, *, protect: bool) -> Description:
    return replace(dev, config=dev.config.model_copy(update={"protect_nodes": protect}))


@pytest.mark.parametrize(
    "known",
    [
        state(vm("proxmox01"), vm("proxmox02")),  # described
        state(vm("proxmox04", protect=False)),
        state(vm("vm01", kind="nested-pve-ha:index:HaGuest")),
        state({"type": "pulumi:pulumi:Stack", "urn": "urn:stack", "protect": True}),
        {"version": 3, "deployment": {}},
    ],
)
def test_what_is_no_protected_vm_of_a_node_that_went_is_left_alone(dev: Description, known: dict[str, Any]) -> None:
    assert protection.released(protecting(dev, protect=True), known) is known


def test_it_is_refused_while_the_stack_file_protects_nodes(dev: Description) -> None:
    with pytest.raises(AdminError) as refused:
        protection.released(protecting(dev, protect=True), state(vm("proxmox04"), vm("proxmox01")))
    assert (refused.value.code, refused.value.observed) == ("node-protected", "proxmox04")


def test_it_is_released_where_the_stack_file_protects_no_nodes(dev: Description) -> None:
    known = state(vm("proxmox04"), vm("proxmox01"))
    assert protection.released(protecting(dev, protect=False), known) == state(
        vm("proxmox04", protect=False), vm("proxmox01")
    )
    assert known == state(vm("proxmox04"), vm("proxmox01")), "it is not changed in place"
