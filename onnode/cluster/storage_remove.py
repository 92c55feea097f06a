"""storage --remove: a storage that this stack made leaves the cluster's configuration; what lies on it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.cluster import storage
from onnode.contract.formation import Storage
from onnode.step import Action, Step
from onnode.system import marks

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


def decide(observed: storage.Observed, desired: Storage) -> list[Action]:
    """Remove what is ours and still what was made; somebody else's of that name stays."""
    live, ours = observed.live, observed.owner == desired.stack_tag
    actions = []
    if live is not None and _is_what_was_made(live, desired) and (ours or (desired.adopt and observed.owner is None)):
        actions.append(Action("remove", desired.name))
    return [*actions, Action("unmark", desired.name)] if ours else actions


def _is_what_was_made(live: storage.Live, desired: Storage) -> bool:
    return (live.type, live.server, live.export) == (storage.TYPE, desired.server, desired.export)


def act(machine: ThisMachine, desired: Storage, action: Action) -> None:
    """Remove it, then its mark: a run that is killed in between removes the rest later.

    Raises:
        StepError: storage-failed, mark-failed.
    """
    if action.do == "unmark":
        marks.take_away(machine, storage.KIND, desired.name)
    else:
        storage.pvesh(machine, "delete", f"/storage/{desired.name}")


def facts(observed: storage.Observed, desired: Storage) -> dict[str, Any]:
    """Which storage, and what exists under its name now."""
    return {"storage": desired.name, "left": storage.shown(observed.live)}


def unchanged(observed: storage.Observed, desired: Storage) -> str:
    """Say what was found."""
    if observed.live is None:
        return f"storage {desired.name} is gone"
    return f"storage {desired.name} is not what this stack made ({storage.shown(observed.live)}), and stays"


STEP = Step(Storage, storage.observe, decide, act, facts, unchanged)
