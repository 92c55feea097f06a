"""Each bridge goes under a dead man's switch, also one whose record does not say so. Pure.

One that was there already and is recorded anew does not say with what it goes: the provider would remove it, unarmed. In
states of earlier versions, what armed the removal is gone once that failed.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from cli.state.moved_vms import in_order
from components.recorded import ARM_REMOVAL, ARMED, BRIDGE_TYPE, REMOVE_BRIDGE, REMOVED

State = dict[str, Any]


def armed(state: State) -> State:
    """The state in which each bridge that goes is armed before."""
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
    """It differs from what confirms the removal in its name, its command, and its place."""
    guard = copy.deepcopy(removed)
    guard["urn"] = removed["urn"].removesuffix(REMOVED) + ARMED
    guard["id"] = str(uuid.uuid4())
    for values in (guard["inputs"], guard["outputs"]):
        values["delete"] = ARM_REMOVAL
    return {**guard, "dependencies": [bridge], "propertyDependencies": {}}
