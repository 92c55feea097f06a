"""VMs on the outer hosts that carry this stack's tag, and that the recorded state does not know.

Making them again would fail or duplicate them, and destroying them is nobody's wish: the exact import is named.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from admin.errors import AdminError
from admin.outer_vms import VM_TYPE, Vm, nested_nodes, recorded
from onnode.pve import TAG, stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admin.description import Description
    from components.config.model import NestedNode


def unrecorded_nodes(description: Description, state: dict[str, Any] | None) -> list[NestedNode]:
    """The nested nodes whose VM the state does not record; pure."""
    known = recorded(state)
    return [node for node in nested_nodes(description) if node.vmid not in known]


def refuse_unrecorded(description: Description, state: dict[str, Any] | None, vms: Iterable[Vm]) -> None:
    """Refuse when a VM that is about to be made is there already, made by this stack; pure.

    Args:
        description: what is wanted.
        state: what the engine has recorded.
        vms: what the outer hosts have.

    Raises:
        AdminError: vm-not-recorded, with the command that records it.
    """
    found = orphans(unrecorded_nodes(description, state), vms, description.stack)
    if found:
        raise AdminError(
            "vm-not-recorded",
            "VMs of this stack exist that its state does not know",
            observed=", ".join(f"VM {vm.vmid} ({vm.name}) on {vm.host}" for _, vm in found),
            expected="every VM of this stack is in its state",
            fix="; ".join(import_command(node, description.stack, state) for node, _ in found)
            + "; or destroy the VMs on the host if nothing in them is needed",
        )


def orphans(nodes: Iterable[NestedNode], vms: Iterable[Vm], stack: str) -> list[tuple[NestedNode, Vm]]:
    """The VMs of unrecorded nodes that this stack made; pure. Foreign ones are refused by the host's own step."""
    by_place = {(vm.host, vm.vmid): vm for vm in vms if {TAG, stack_tag(stack)} <= vm.tags}
    return [(node, by_place[node.host, node.vmid]) for node in nodes if (node.host, node.vmid) in by_place]


def import_command(node: NestedNode, stack: str, state: dict[str, Any] | None) -> str:
    """The command that records a node's VM, with the parent and the provider that the program gives it; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    parent = _urn(resources, "nested-pve-ha:index:NestedPveNode", node.name)
    provider = _urn(resources, "pulumi:providers:proxmoxve", f"{node.host}-api")
    words = ["pulumi", "import", VM_TYPE, f"{node.name}-vm", f"{node.host}/{node.vmid}", "--stack", stack]
    words += ["--parent", f"node={parent}"] if parent else []
    words += ["--provider", f"api={provider}"] if provider else []
    return shlex.join([*words, "--protect=false", "--generate-code=false", "--yes"])


def _urn(resources: list[dict[str, Any]], kind: str, name: str) -> str | None:
    return next(
        (entry["urn"] for entry in resources if entry["type"] == kind and entry["urn"].endswith(f"::{name}")), None
    )
