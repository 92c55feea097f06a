"""What was recorded of the design before a run that failed: reports and previews compare with what was built last.

The engine records a component when a run begins, the design first. If the run is refused, fails or is interrupted, little or
nothing of it is built; compared with it, the next preview would show no change where guests go, and joins where nothing joins.
"""

from __future__ import annotations

import copy
from typing import Any

from components.recorded import OURS

State = dict[str, Any]


def kept(before: State, after: State) -> State:
    """The state after a failed run, with the properties that the components had before it; pure.

    What the run added keeps its own. So does all if the engine was killed, since recording a state ends what the engine
    notes of its pending operations.
    """
    earlier = {one["urn"]: one for one in _components(before)}
    changed = copy.deepcopy(after)
    for one in _components(changed):
        was = earlier.get(one["urn"], one)
        one.update({name: was[name] for name in ("inputs", "outputs") if name in was})
    return after if changed == after or after["deployment"].get("pending_operations") else changed


def _components(state: State) -> list[dict[str, Any]]:
    """They make nothing themselves: what they say is what was planned."""
    resources = state["deployment"].get("resources") or []
    return [one for one in resources if one["type"].startswith(OURS) and not one.get("delete")]
