"""The design that was recorded before a run that failed: reports and previews compare with what was built last.

The engine records a design when a run begins. If the run is refused, fails or is interrupted, little or nothing of it is
built; compared with it, the next preview would show no change where guests go, and joins where nothing joins.
"""

from __future__ import annotations

import copy
from typing import Any

from components.recorded import DESIGN

State = dict[str, Any]


def kept(before: State, after: State) -> State:
    """The state after a failed run, with the design that was recorded before it; pure.

    A first run has no earlier design: what it recorded stays. So does all if the engine was killed, since recording a state
    ends what the engine notes of its pending operations.
    """
    was, now = _design(before), _design(after)
    if was is None or now is None or was["inputs"] == now["inputs"] or after["deployment"].get("pending_operations"):
        return after
    changed = copy.deepcopy(after)
    design = _design(changed) or {}
    design["inputs"], design["outputs"] = was["inputs"], was.get("outputs", {})
    return changed


def _design(state: State) -> dict[str, Any] | None:
    resources = state["deployment"].get("resources") or []
    return next((one for one in resources if one["type"] == DESIGN and not one.get("delete")), None)
