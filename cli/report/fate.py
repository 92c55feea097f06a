"""What becomes of guests that go, from what is recorded and what the cluster shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cli.engine.failures import resource_name
from cli.report.changes import Change, numbered
from cli.report.known import GUEST_CHANGED, Mark
from cli.report.values import by_identity
from cluster import marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cluster.marks import Look, Thing

PLACE = "guest "


@dataclass(frozen=True)
class Evidence:
    """What the state records and the cluster shows.

    Attributes:
        recorded: names of resources.
        there: by number, the guests of the cluster; None if they are not known.
    """

    recorded: frozenset[str]
    there: Mapping[str, Thing] | None = None


def evidence(state: Mapping[str, Any], looks: Sequence[Look] | None = None) -> Evidence:
    """What is known of guests before a run.

    Args:
        state: what is recorded.
        looks: of the nodes that may speak for the cluster; none if nobody looked, or no node could answer.
    """
    entries = (state.get("deployment") or {}).get("resources") or []
    names = frozenset(resource_name(one["urn"]) for one in entries if not one.get("delete"))
    things = [thing for look in looks or () if look.cluster for thing in look.things]
    guests = {thing.name: thing for thing in things if thing.kind in (marks.VM, marks.CONTAINER)}
    return Evidence(names, guests if any(look.cluster for look in looks or ()) else None)


def with_fates(changes: Iterable[Change], before: Mapping[str, Any] | None, known: Evidence) -> list[Change]:
    """The changes, in which the loss of a guest names the guest as it is now; one that is only forgotten is no loss.

    Args:
        changes: between two designs.
        before: the design that is recorded.
        known: what is recorded, and what is there.
    """
    guests = by_identity((before or {}).get("guests") or [])
    return [_with_fate(change, guests.get(change.place.removeprefix(PLACE)), known) for change in changes]


def _with_fate(change: Change, guest: Mapping[str, Any] | None, known: Evidence) -> Change:
    removed, refused = change.mark is Mark.DATA, change.effect == GUEST_CHANGED[0]
    # Of an existing guest nothing is destroyed.
    if guest is None or guest.get("existing") or not (removed or refused):
        return change
    thing = known.there.get(str(int(guest["vmid"]))) if known.there is not None else None
    if f"{guest['name']}-{guest['kind']}" in known.recorded:
        if removed:
            return change if thing is None else replace(change, text=f"{thing.shown} is destroyed with its disks")
        if known.there is None or (thing is not None and thing.ours):
            return change
    if thing is not None:
        whose = "left as it is" if thing.ours else "not this stack's, and left alone"
        stays = f"{thing.shown} is {whose}"
    elif known.there is not None:
        stays = f"{numbered(guest)} is gone already"
    else:
        stays = f"{numbered(guest)} is not recorded any more, and nothing of it is touched"
    if removed:
        return replace(change, text=f"is forgotten: {stays}", mark=Mark.NONE)
    return replace(change, effect=stays, mark=Mark.NONE)
