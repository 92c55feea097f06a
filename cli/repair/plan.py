"""From doctor's causes to repairs, in doctor's order; what nothing here mends is for a person. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.repair.model import KINDS, ByHand, Repair
from onnode.cluster import start_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cli.doctor.model import Cause, World

    Planned = Callable[[World, Cause], Repair | str]


def plan(world: World, causes: Iterable[Cause]) -> list[Repair | ByHand]:
    """For each cause the repair that mends it, or why a person is needed."""
    return [_planned(world, cause) for cause in causes]


def _planned(world: World, cause: Cause) -> Repair | ByHand:
    name = next((name for name, kind in KINDS.items() if cause.name in kind.causes), None)
    if name is None:
        return ByHand(cause, "no repair mends this")
    found = PLANNED[name](world, cause)
    return ByHand(cause, found) if isinstance(found, str) else found


def _services(world: World, cause: Cause) -> Repair | str:
    name = cause.where
    if name not in world.nodes:
        return f"{name} lets nobody in over SSH: root's keys are in /etc/pve, which is away there"
    units = f"{', '.join(start_services.ORDER[:-1])} and {start_services.ORDER[-1]}"
    steps = [
        *([f"on {name}: end pmxcfs in local mode"] if world.nodes[name].pmxcfs == "local" else []),
        f"on {name}: start what does not run of {units}, in this order, and what stands on it anew",
        *([f"wait until {name} is quorate and /etc/pve takes writes"] if may_be_quorate(world, name) else []),
    ]
    return Repair("services", cause, [name], steps)


def may_be_quorate(world: World, name: str) -> bool:
    """Whether a listed node would be part of a quorum with those whose corosync runs."""
    running = {one for one, report in world.joined.items() if report.quorum is not None and one in world.listed}
    return name in world.listed and world.votes_of({*running, name}) >= world.needed


PLANNED: dict[str, Planned] = {"services": _services}
