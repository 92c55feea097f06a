"""Nodes whose VM the engine may not delete, and which are described no more. Pure.

The engine deletes at last, when the node has left the cluster; a refusal would come too late, and the record would keep the
protection that a person has taken out of the stack file. So it is refused before anything is done, or taken out of the record.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cluster.errors import AdminError
from components.recorded import NODE, VM_TYPE, makes_domain

if TYPE_CHECKING:
    from cli.description import Description

State = dict[str, Any]


def released(description: Description, state: State) -> State:
    """The state in which VMs of nodes that were left out are not protected.

    Raises:
        AdminError: node-protected, where the stack file still says that nodes are.
    """
    described = {node.name for node in description.config.nodes}
    resources = (state.get("deployment") or {}).get("resources") or []
    kept = {entry["urn"]: name for entry in resources if (name := _protected_node(entry)) and name not in described}
    if not kept:
        return state
    if description.config.protect_nodes:
        raise AdminError(
            "node-protected",
            "a node was left out of the stack file, and its VM is protected against deletion",
            observed=", ".join(sorted(kept.values())),
            expected="protectNodes: false, or the node",
            fix="set protectNodes: false in the stack file and run `make up` again; take it out again after that",
        )
    changed = copy.deepcopy(state)
    for entry in changed["deployment"]["resources"]:
        if entry["urn"] in kept:
            del entry["protect"]
    return changed


def _protected_node(entry: State) -> str:
    """The node whose protected VM this is; empty for anything else."""
    kind, name = (["", "", *str(entry.get("parent", "")).split("::")])[-2:]
    is_vm = entry["type"] == VM_TYPE or makes_domain(entry["type"], entry.get("inputs") or {})
    return name if is_vm and kind.endswith(NODE) and entry.get("protect") else ""
