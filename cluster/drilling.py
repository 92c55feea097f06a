"""A failover drill, decided: which node is stopped hard, what speaks against that, and what the looks of it show. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from cluster import rolling
from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cluster.rolling import View
    from onnode.contract.guests import RunningGuest

STARTED, FENCE = "started", "fence"
# What the lab's and anybody's delays stand for: Proxmox VE's own, from the moment in which a node dies (docs/concepts.md).
REAL = {
    False: {
        "lost": "60 to 80 s",
        "fenced": "110 to 130 s",
        "elsewhere": "110 to 130 s",
        "answering": "up to 140 s, and the guest's boot",
    },
    True: {
        "lost": "about 180 s",
        "fenced": "about 180 s",
        "elsewhere": "about 180 s",
        "answering": "about 190 s, and the guest's boot",
    },
}
Place = tuple[str, str]  # of a guest in HA's records: its node, and its state


@dataclass(frozen=True)
class Sample:
    """One look at one node, through its own API. Moments are seconds since the node that is stopped was told to.

    Attributes:
        node: who was asked.
        sent: when the look began.
        received: when it ended.
        places: what HA records of each guest, as this node has it; read before `running`.
        running: the guests that run on this node.
    """

    node: str
    sent: float
    received: float
    places: Mapping[str, Place]
    running: frozenset[str]


@dataclass(frozen=True)
class GuestClock:
    """A guest of the node that was stopped. Moments are seconds since the stop; None for what was not seen.

    Attributes:
        sid: as HA calls it.
        last_answer: the beginning of the last look in which its node said that it runs.
        lost: HA has it in state `fence`: its node is to be fenced.
        fenced: HA has fenced the node: it recovers the guest.
        elsewhere: HA's record names another node.
        answering: another node says that it runs there.
        node: which one.
    """

    sid: str
    last_answer: float | None = None
    lost: float | None = None
    fenced: float | None = None
    elsewhere: float | None = None
    answering: float | None = None
    node: str = ""


@dataclass(frozen=True)
class Silence:
    """A guest of another node, which is to go on.

    Attributes:
        sid: as HA calls it.
        node: where it runs.
        longest_s: the longest time between two looks in which a node said that it runs.
    """

    sid: str
    node: str
    longest_s: float


@dataclass(frozen=True)
class Drill:
    """What a drill showed.

    Attributes:
        node: it was stopped hard.
        was_master: it was the HA master: then another node has to become that first.
        time_scale: the factor on HA's own delays at this site.
        interval_s: the time between the beginnings of two looks at a node, unless a look takes longer.
        longest_s: the longest time that really lay between two looks at a node that stayed.
        guests: those of the node.
        others: those of other nodes.
    """

    node: str
    was_master: bool
    time_scale: float
    interval_s: float
    longest_s: float
    guests: list[GuestClock] = field(default_factory=list)
    others: list[Silence] = field(default_factory=list)

    @property
    def silent(self) -> list[str]:
        """The guests that were not seen to answer elsewhere."""
        return [one.sid for one in self.guests if one.answering is None]


# -- before ------------------------------------------------------------------------------------------------------------


def guests_of(view: View) -> dict[str, str]:
    """The guests that HA keeps running, by their names, each with its node."""
    speaker = next(iter(view.motions.values()), None)
    services = speaker.services if speaker else {}
    return {sid: str(one.get("node")) for sid, one in sorted(services.items()) if one.get("state") == STARTED}


def chosen(view: View, nested: Collection[str], wanted: str | None) -> str:
    """The node to stop: the named one, or the nested node with the most guests under HA.

    Args:
        view: of the cluster.
        nested: the nodes that are VMs of the stack.
        wanted: a node of the stack; None to choose.

    Raises:
        AdminError: drill-not-nested, drill-no-guests.
    """
    if wanted is not None and wanted not in nested:
        raise AdminError(
            "drill-not-nested",
            f"{wanted} is an existing machine, and no VM of this stack: it cannot be stopped hard from here",
            observed=f"nested nodes: {', '.join(sorted(nested)) or 'none'}",
            expected="a nested node",
        )
    counts = Counter(node for node in guests_of(view).values() if node in nested)
    if wanted is None and counts:
        return min(counts, key=lambda name: (-counts[name], name))
    if wanted is None or not counts[wanted]:
        shown = ", ".join(f"{sid} on {node}" for sid, node in guests_of(view).items())
        raise AdminError(
            "drill-no-guests",
            f"{wanted or 'no nested node'} has no guest that HA would start elsewhere",
            observed=f"started under HA: {shown or 'nothing'}",
            expected="a nested node with a guest under HA",
        )
    return wanted


def refuse(view: View, name: str, running: Sequence[RunningGuest]) -> None:
    """Refuse to stop a node whose guests would not come back elsewhere, or while something runs that this would break.

    Args:
        view: of a cluster that is well (:func:`cluster.rolling.findings`).
        name: the node.
        running: the guests that run on it.

    Raises:
        AdminError: quorum-needed, not-settled, guest-stays, drill-guest-unmanaged.
    """
    rolling.refuse_without_quorum(view, name)
    refuse_at_work([what for one in view.motions.values() for what in one.backups])
    if alone := rolling.placements(name, running, rolling.load_of(view, name)):
        raise AdminError(
            "drill-guest-unmanaged",
            f"on {name} a guest runs that is not under HA: nobody would start it elsewhere",
            observed=", ".join(move.sid for move in alone),
            expected="guests under HA only",
        )


def refuse_at_work(backups: Iterable[str]) -> None:
    """Refuse to stop a node while a backup runs.

    Raises:
        AdminError: not-settled.
    """
    if found := sorted(set(backups)):
        raise AdminError(
            "not-settled", "a backup runs, and would be cut off", observed="; ".join(found), expected="no backup"
        )


def refuse_unseen(guests: Collection[str], samples: Iterable[Sample]) -> None:
    """Refuse to stop a node whose guests are not seen to answer beforehand: nobody would see when they answer again.

    Raises:
        AdminError: drill-guest-silent.
    """
    seen = frozenset[str]().union(*(one.running for one in samples))
    if unseen := sorted(set(guests) - seen):
        raise AdminError(
            "drill-guest-silent",
            "the API of no node says that the guest runs, though HA has it started",
            observed=", ".join(unseen),
            expected="every guest under HA running, and visible to the API user",
        )


# -- what was seen -----------------------------------------------------------------------------------------------------


def clock(sid: str, stopped: str, samples: Iterable[Sample]) -> GuestClock:
    """The moments of one guest of the node that was stopped."""
    seen = sorted(samples, key=lambda one: one.received)
    own = [one.sent for one in seen if one.node == stopped and sid in one.running]
    after = [one for one in seen if one.node != stopped and one.received > 0]

    def first(moments: Iterable[float]) -> float | None:
        return next(iter(moments), None)

    records = [(one.received, one.places[sid]) for one in after if sid in one.places]
    answers = [(one.received, one.node) for one in after if sid in one.running]
    # A guest that HA does not have in state `fence` any more, after it did, has a node that is fenced.
    begun = first(moment for moment, (node, state) in records if (node, state) == (stopped, FENCE))
    return GuestClock(
        sid,
        last_answer=max(own, default=None),
        lost=begun,
        fenced=first(
            moment
            for moment, (node, state) in records
            if node != stopped or (begun is not None and moment >= begun and state != FENCE)
        ),
        elsewhere=first(moment for moment, (node, _) in records if node != stopped),
        answering=answers[0][0] if answers else None,
        node=answers[0][1] if answers else "",
    )


def silence(sid: str, node: str, samples: Iterable[Sample]) -> Silence:
    """How long a guest that was to go on was not seen at most."""
    answers = sorted(one.received for one in samples if sid in one.running)
    return Silence(sid, node, longest(answers))


def longest(moments: Sequence[float]) -> float:
    """The longest time between two moments in a row; 0 where there are none."""
    return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)


def shown(  # noqa: PLR0913 - what a drill is made of, each by its name
    stopped: str, guests: Mapping[str, str], samples: Sequence[Sample], *, master: bool, scale: float, interval_s: float
) -> Drill:
    """All that a drill showed.

    Args:
        stopped: the node.
        guests: those under HA, with their nodes before the stop.
        samples: the looks at all nodes.
        master: the node was the HA master.
        scale: the site's factor on HA's delays.
        interval_s: between two looks at a node.
    """
    staying = {one.node for one in samples} - {stopped}
    return Drill(
        stopped,
        master,
        scale,
        interval_s,
        max((longest([one.received for one in samples if one.node == name]) for name in staying), default=0.0),
        [clock(sid, stopped, samples) for sid, node in guests.items() if node == stopped],
        [silence(sid, node, samples) for sid, node in guests.items() if node != stopped],
    )


def all_answer(guests: Collection[str], stopped: str, samples: Iterable[Sample]) -> bool:
    """Whether every guest was seen to run on another node since the stop."""
    found = frozenset[str]().union(*(one.running for one in samples if one.node != stopped and one.received > 0))
    return set(guests) <= found
