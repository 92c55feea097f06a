"""Records the network guard of each bridge that lacks it, so that no bridge is removed without one. Pure.

The record of an adopted bridge lacks it: the provider would remove the bridge without a guard. In states of earlier versions, the
step that arms the guard is gone after a removal that failed.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from cli.state.moved_vms import in_order
from components.recorded import ARM_REMOVAL, ARMED, BRIDGE_TYPE, REMOVE_BRIDGE, REMOVED

State = dict[str, Any]


def armed(state: State) -> State:
    """The state in which the guard is armed before each removal of a bridge."""
    changed = copy.deepcopy(state)
    resources = changed["deployment"].get("resources") or []
    names = {resource["urn"].rpartition("::")[2]: resource for resource in resources}
    for name, bridge in names.items():
        if bridge["type"] != BRIDGE_TYPE:
            continue
        removal = names.get(f"{name}-{ARMED}")
        if removal is not None and removal["inputs"].get("delete") == REMOVE_BRIDGE:
            if bridge.get("deletedWith") != removal["urn"]:
                bridge["deletedWith"] = removal["urn"]
                bridge["dependencies"] = [*(bridge.get("dependencies") or []), removal["urn"]]
        elif removal is None and f"{name}-{REMOVED}" in names:
            resources.append(_guard(names[f"{name}-{REMOVED}"], bridge["urn"]))
    if changed == state:
        return state
    changed["deployment"]["resources"] = in_order(resources)
    return changed


def _guard(removed: State, bridge: str) -> State:
    """The step that arms the guard: the one that confirms the removal, under another name, command and place."""
    guard = copy.deepcopy(removed)
    guard["urn"] = removed["urn"].removesuffix(REMOVED) + ARMED
    guard["id"] = str(uuid.uuid4())
    for values in (guard["inputs"], guard["outputs"]):
        values["delete"] = ARM_REMOVAL
    return {**guard, "dependencies": [bridge], "propertyDependencies": {}}
