"""What becomes of guests that go, where more is known than two designs tell: what is recorded, and what is there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cli.engine.failures import resource_name
from cli.report.changes import Change, numbered
from cli.report.known import Mark
from cli.report.values import by_identity
from cluster import marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cluster.marks import Look, Thing

PLACE = "guest "


@dataclass(frozen=True)
class Known:
    """What the state records and the cluster shows.

    Attributes:
        recorded: names of resources.
        there: by number, the guests of the cluster; None where nobody looked.
    """

    recorded: frozenset[str]
    there: Mapping[str, Thing] | None = None


def known(state: Mapping[str, Any], looks: Sequence[Look] | None = None) -> Known:
    """What is known before a run.

    Args:
        state: what is recorded.
        looks: of those nodes that may speak for the cluster; none where nobody looked, or no node could tell.
    """
    entries = (state.get("deployment") or {}).get("resources") or []
    names = frozenset(resource_name(one["urn"]) for one in entries if not one.get("delete"))
    things = [thing for look in looks or () if look.cluster for thing in look.things]
    guests = {thing.name: thing for thing in things if thing.kind in (marks.VM, marks.CONTAINER)}
    return Known(names, guests if any(look.cluster for look in looks or ()) else None)


def told(changes: Iterable[Change], before: Mapping[str, Any] | None, seen: Known) -> list[Change]:
    """The changes, in which what destroys a guest names it as it is; what only forgets one destroys nothing.

    Args:
        changes: between two designs.
        before: the design that is recorded.
        seen: what is known besides.
    """
    guests = by_identity((before or {}).get("guests") or [])
    return [_told(change, guests.get(change.place.removeprefix(PLACE)), seen) for change in changes]


def _told(change: Change, guest: Mapping[str, Any] | None, seen: Known) -> Change:
    if guest is None or change.mark is not Mark.DATA:
        return change
    removed = not change.effect
    thing = seen.there.get(str(int(guest["vmid"]))) if seen.there is not None else None
    if f"{guest['name']}-{guest['kind']}" in seen.recorded:
        if thing is None:
            return change
        lost = f"{thing.shown} is destroyed with its disks"
        return replace(change, text=lost) if removed else replace(change, effect=lost)
    if thing is not None:
        whose = "left as it is" if thing.ours else "not this stack's, and left alone"
        stays = f"{thing.shown} is {whose}"
    elif seen.there is not None:
        stays = f"{numbered(guest)} is gone already"
    else:
        stays = f"{numbered(guest)} is not recorded any more, and nothing of it is touched"
    if removed:
        return replace(change, text=f"is forgotten: {stays}", mark=Mark.NONE)
    return replace(change, effect=stays, mark=Mark.NONE)
