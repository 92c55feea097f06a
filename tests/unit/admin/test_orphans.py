"""VMs that the state does not know: which of them are this stack's, and the import that records each."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from admin import orphans
from admin.errors import AdminError
from admin.outer_vms import VM_TYPE, Vm

if TYPE_CHECKING:
    from admin.description import Description

OWN = frozenset({"nested-pve-ha", "stack-dev"})
PARENT = "urn:pulumi:dev::nested-pve-ha::nested-pve-ha:index:NestedPveNode::proxmox02"
PROVIDER = "urn:pulumi:dev::nested-pve-ha::nested-pve-ha:index:HostPrep$pulumi:providers:proxmoxve::virtual-api"


def state(*vmids: int) -> dict[str, Any]:
    """A state that records the VMs with these numbers, and the second node with its provider."""
    recorded: list[dict[str, Any]] = [
        {"type": VM_TYPE, "urn": f"urn:{vmid}", "inputs": {"vmId": vmid}} for vmid in vmids
    ]
    recorded.append({"type": "nested-pve-ha:index:NestedPveNode", "urn": PARENT})
    recorded.append({"type": "pulumi:providers:proxmoxve", "urn": PROVIDER})
    return {"deployment": {"resources": recorded}}


@pytest.mark.parametrize(
    ("known", "vmids"),
    [
        (None, [101, 102, 103]),
        ({"deployment": {}}, [101, 102, 103]),
        (state(101, 103), [102]),
        (state(101, 102, 103), []),
    ],
)
def test_nodes_whose_vm_no_state_records_are_looked_for(
    dev: Description, known: dict[str, Any] | None, vmids: list[int]
) -> None:
    assert [node.vmid for node in orphans.unrecorded_nodes(dev, known)] == vmids


@pytest.mark.parametrize(
    ("vm", "found"),
    [
        (Vm("virtual", 102, "proxmox02", OWN), True),
        (Vm("virtual", 102, "proxmox02", OWN | {"more"}), True),
        (Vm("virtual", 102, "proxmox02", frozenset()), False),
        (Vm("virtual", 102, "proxmox02", frozenset({"nested-pve-ha", "stack-prod"})), False),
        (Vm("virtual", 102, "proxmox02", frozenset({"stack-dev"})), False),
        (Vm("other", 102, "proxmox02", OWN), False),
        (Vm("virtual", 999, "proxmox02", OWN), False),
    ],
)
def test_only_a_vm_with_the_stacks_tags_at_the_nodes_place_is_its_own(dev: Description, vm: Vm, *, found: bool) -> None:
    node = next(node for node in orphans.unrecorded_nodes(dev, None) if node.vmid == 102)
    assert [owned.vmid for _, owned in orphans.orphans([node], [vm], "dev")] == ([102] if found else [])


def test_the_import_names_the_parent_and_the_provider_that_the_program_gives(dev: Description) -> None:
    (node,) = orphans.unrecorded_nodes(dev, state(101, 103))
    words = shlex.split(orphans.import_command(node, "dev", state(101, 103)))
    assert words[:5] == ["pulumi", "import", VM_TYPE, "proxmox02-vm", "virtual/102"]
    assert words[words.index("--parent") + 1] == f"node={PARENT}"
    assert words[words.index("--provider") + 1] == f"api={PROVIDER}"


def test_without_a_state_the_import_names_neither(dev: Description) -> None:
    node = orphans.unrecorded_nodes(dev, None)[1]
    words = shlex.split(orphans.import_command(node, "dev", None))
    assert not {"--parent", "--provider"} & set(words)


def test_a_forgotten_vm_is_refused_with_its_import(dev: Description) -> None:
    with pytest.raises(AdminError) as caught:
        orphans.refuse_unrecorded(dev, state(101, 103), [Vm("virtual", 102, "proxmox02", OWN)])
    assert caught.value.code == "vm-not-recorded"
    assert "VM 102 (proxmox02) on virtual" in caught.value.observed
    assert f"pulumi import {VM_TYPE} proxmox02-vm virtual/102" in caught.value.fix
    assert "destroy the VMs on the host" in caught.value.fix


def test_a_foreign_vm_is_left_to_the_hosts_own_step(dev: Description) -> None:
    orphans.refuse_unrecorded(dev, state(101, 103), [Vm("virtual", 102, "somebody", frozenset())])
