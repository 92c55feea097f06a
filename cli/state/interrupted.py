"""Resolves what a killed run left in the state: creations that began, and whose end nobody recorded.

The engine keeps them as pending operations, and does not look for what they made. Here each becomes a recorded resource with the
inputs of its creation. The refresh at the start of the next run then asks the provider whether it exists, and drops it if it
does not. Steps need none of this: they look for themselves, and run again.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from components import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

State = dict[str, Any]

# How the providers identify what they make, from its inputs (bpg's resources: the `Read` of each).
IDS: dict[str, Callable[[State], str]] = {
    recorded.VM_TYPE: lambda inputs: str(int(inputs["vmId"])),
    recorded.BRIDGE_TYPE: lambda inputs: f"{inputs['nodeName']}:{inputs['name']}",
    recorded.NFS_TYPE: lambda inputs: str(inputs["resourceId"]),
    recorded.OPTIONS_TYPE: lambda _inputs: "cluster",
    recorded.RESOURCE_TYPE: lambda inputs: str(inputs["resourceId"]),
    recorded.RULE_TYPE: lambda inputs: str(inputs["rule"]),
    recorded.GROUP_TYPE: lambda inputs: str(inputs["group"]),
    recorded.FILE_TYPE: lambda inputs: f"{inputs['datastoreId']}:{inputs['contentType']}/{inputs['fileName']}",
}
# Values that a provider sets by itself and does not read back: without them, the next run would show a change.
DEFAULTS: dict[str, State] = {
    recorded.BRIDGE_TYPE: {"timeoutReload": 100, "vlanAware": False},
    recorded.FILE_TYPE: {"uploadTimeout": 600, "verify": True},
}


def as_made(kind: str, inputs: State) -> State:
    """Id and outputs of a resource that was made with these inputs, for the refresh to correct; pure.

    Raises:
        KeyError: the inputs lack what the provider identifies it by.
    """
    identity = IDS[kind](inputs)
    # The provider's Read takes the `id` among the outputs.
    return {"id": identity, "outputs": {**DEFAULTS.get(kind, {}), **inputs, "id": identity}}


def resolve_pending(exported: State) -> tuple[State, list[str]]:
    """The state without pending creations, and the URNs that are now recorded as made. Pure.

    Args:
        exported: what `pulumi stack export` printed.
    """
    resolved = copy.deepcopy(exported)
    deployment = resolved["deployment"]
    pending = deployment.get("pending_operations") or []
    creating = [operation["resource"] for operation in pending if operation["type"] == "creating"]
    recorded = {resource["urn"] for resource in deployment.get("resources") or []}
    adopted = [made for made in map(_recorded, creating) if made is not None and made["urn"] not in recorded]
    deployment["pending_operations"] = [operation for operation in pending if operation["type"] != "creating"]
    deployment["resources"] = [*(deployment.get("resources") or []), *adopted]
    return resolved, [resource["urn"] for resource in adopted]


def has_pending(exported: State) -> bool:
    """Whether a run was killed while it made something."""
    operations = exported["deployment"].get("pending_operations") or []
    return any(operation["type"] == "creating" for operation in operations)


def _recorded(resource: State) -> State | None:
    try:
        made = as_made(resource["type"], resource.get("inputs") or {})
    except KeyError:
        return None
    # Its inputs are the best guess at its outputs; the refresh corrects them.
    return {**resource, **made, "outputs": resource.get("outputs") or made["outputs"]}
