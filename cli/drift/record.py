"""What drifted, written into the recorded state, so that the engine itself shows it and runs the steps again. Pure.

The engine runs a resource only when an input differs. So a step's record gets an `update`, which the program never gives and
whose text names what drifted. Nothing else of the record changes, so that a removal works as before.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cli.drift.kinds import CONFIGURATION, MEMBERSHIP, OFF, PACKAGE, REMADE, STEP
from cli.state.vanished import forget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.drift.model import Drift

State = dict[str, Any]

AGAIN = (STEP, MEMBERSHIP, CONFIGURATION, PACKAGE, OFF)
MARK = "drifted: "
ALTERED = "-altered"  # put at the end of the hash of the copied package


def marked(state: State, found: Iterable[Drift]) -> State:
    """The state in which exactly these run again, without marks of an earlier look.

    Resources of kind REMADE are taken out of the state, so that the engine creates them again.
    """
    again: dict[str, list[str]] = {}
    seen = list(found)
    for one in seen:
        if one.kind in AGAIN:
            again.setdefault(one.urn, []).append(f"{one.where}: {one.what}")
    changed = copy.deepcopy(state)
    for resource in changed["deployment"].get("resources") or []:
        why = "; ".join(again.get(resource["urn"], []))
        for values in (resource.get("inputs"), resource.get("outputs")):
            if isinstance(values, dict):
                _mark(values, why)
    remade = [one.urn for one in seen if one.kind == REMADE]
    return forget(changed, remade) if remade else changed


def powered_off(state: State, found: Iterable[Drift]) -> list[Drift]:
    """The recorded nodes that are off: they are started before anything else."""
    known = {one["urn"] for one in state["deployment"].get("resources") or []}
    return [one for one in found if one.kind == OFF and one.urn in known]


def cannot_log_in(state: State, found: Iterable[Drift]) -> bool:
    """Whether the user of the cluster's API drifted: the refresh logs in as it before any step runs."""
    drifted = {one.urn for one in found if one.kind in AGAIN}
    resources = state["deployment"].get("resources") or []
    steps = {one["urn"]: str((one.get("inputs") or {}).get("create", "")) for one in resources}
    return any(steps.get(urn, "").endswith(" api-user") for urn in drifted)


def _mark(values: State, why: str) -> None:
    if str(values.get("update", "")).startswith(MARK):
        del values["update"]
    source = values.get("source")
    if isinstance(source, dict) and "hash" in source:
        source["hash"] = source["hash"].removesuffix(ALTERED) + (ALTERED if why else "")
    elif why:
        values["update"] = f"{MARK}{why}"
