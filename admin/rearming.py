"""A bridge whose removal failed is removed by the next run, and that is armed again. Pure.

What armed the first try (`components.guarded_network`) is gone from the state by then, and the program makes it no
more: the bridge is not described, or everything is being destroyed.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from admin.belongings import BRIDGE_TYPE
from components.recorded import ARM_REMOVAL, ARMED, REMOVED

State = dict[str, Any]


def armed(state: State) -> State:
    """The state in which each bridge that goes is armed before."""
    resources = state["deployment"].get("resources") or []
    names = {resource["urn"].rpartition("::")[2]: resource for resource in resources}
    bridges = {name: resource for name, resource in names.items() if resource["type"] == BRIDGE_TYPE}
    lacking = [
        _guard(names[f"{name}-{REMOVED}"], bridge["urn"])
        for name, bridge in bridges.items()
        if f"{name}-{REMOVED}" in names and f"{name}-{ARMED}" not in names
    ]
    if not lacking:
        return state
    return {**state, "deployment": {**state["deployment"], "resources": [*resources, *lacking]}}


def _guard(removed: State, bridge: str) -> State:
    """It differs from what confirms the removal in its name, its command, and its place."""
    guard = copy.deepcopy(removed)
    guard["urn"] = removed["urn"].removesuffix(REMOVED) + ARMED
    guard["id"] = str(uuid.uuid4())
    for values in (guard["inputs"], guard["outputs"]):
        values["delete"] = ARM_REMOVAL
    return {**guard, "dependencies": [bridge], "propertyDependencies": {}}
