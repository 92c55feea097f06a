"""The VMs of nested nodes, as described and as the state records them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.recorded import VM_TYPE

if TYPE_CHECKING:
    from cli.description import Description
    from config.model import NestedNode


def nested_nodes(description: Description) -> list[NestedNode]:
    """The nodes that are VMs."""
    return [node for node in description.config.nodes if node.kind == "nested"]


def recorded(state: dict[str, Any] | None) -> dict[int, dict[str, Any]]:
    """The recorded VMs, by vmid, as the exported state has them; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    vms = [entry for entry in resources if entry["type"] == VM_TYPE and "vmId" in entry["inputs"]]
    return {int(entry["inputs"]["vmId"]): entry for entry in vms}
