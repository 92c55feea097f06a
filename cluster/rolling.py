"""Rolling work: whether the cluster can do without a node for a while, and where that node's guests go. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import formation, motion
from cluster.errors import AdminError
from cluster.planning.plan import survivable
from onnode.contract.guests import GuestMove
from onnode.contract.health import Health
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.contract import Member
    from cluster.motion import Motion
    from onnode.contract.guests import RunningGuest

SERVICES = ("corosync", "pve-cluster", "pveproxy", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux")
MAINTENANCE = "maintenance"


@dataclass(frozen=True)
class View:
    """The whole cluster at one moment.

    Attributes:
        cluster: its described name.
        members: the described nodes.
        seen: what each shows, or why it did not answer.
        motions: what moves guests, in the eyes of each quorate member that answered.
    """

    cluster: str
    members: Sequence[Member]
    seen: Mapping[str, Health | StepError]
    motions: Mapping[str, Motion]

    @property
    def healths(self) -> dict[str, Health]:
        """Of the nodes that answered."""
        return {name: one for name, one in self.seen.items() if isinstance(one, Health)}

    @property
    def in_maintenance(self) -> set[str]:
        """The nodes that the HA manager has in maintenance."""
        states = next((one.seen for one in self.motions.values()), {})
        return {name for name, state in states.items() if state == MAINTENANCE}


def findings(view: View) -> list[str]:
    """Why no node is to be taken away now, in words; nothing where one can be."""
    silent = [f"{name} does not answer ({one.what})" for name, one in view.seen.items() if isinstance(one, StepError)]
    found = silent + formation.problems(view.cluster, view.members, view.healths)
    for name, health in view.healths.items():
        found += [f"{service} does not run on {name}" for service in SERVICES if not health.services.get(service)]
        found += [f"step {health.busy} runs on {name}"] if health.busy else []
    return found + _unrest(view)


def refuse_two_away(view: View, leaving: str | None) -> None:
    """Refuse to take a node away while another one is in maintenance, which does not pass by itself.

    Raises:
        AdminError: node-in-maintenance.
    """
    if others := sorted(view.in_maintenance - {leaving}):
        raise AdminError(
            "node-in-maintenance",
            "another node is in maintenance",
            observed=", ".join(others),
            expected=f"no node but {leaving}" if leaving else "no node",
            fix=" and ".join(f"`make undrain NODE={name}`" for name in others) + "; then run the same command again",
        )


def _unrest(view: View) -> list[str]:
    """What HA does, or migrations of others do."""
    speaker = next(iter(view.motions.values()), None)
    if speaker is None:
        return ["no node is quorate"]
    complete = not speaker.online - view.motions.keys()
    running = frozenset[str]().union(*(one.running for one in view.motions.values())) if complete else None
    guests = {*speaker.services, *speaker.migrating}
    return [one.what for one in motion.unrest(speaker, guests, frozenset(view.healths), running)]


def survives(view: View, leaving: str) -> int:
    """How many further nodes may fail while this one is away; -1 when it is needed for quorum.

    A QDevice's vote counts, as corosync counts it.
    """
    best = max(view.healths.values(), key=lambda one: one.quorum.total if one.quorum else 0, default=None)
    if best is None or best.quorum is None:
        return -1
    votes = {node.id: node.votes for node in best.nodes}
    gone = next((node.votes for node in best.nodes if node.name == leaving and node.id in best.voters), 0)
    if best.quorum.total - gone < best.quorum.expected // 2 + 1:
        return -1
    names = {node.name for node in best.nodes if node.id in best.voters} - {leaving}
    witnessed = best.quorum.expected > sum(votes.values())
    return max(survivable({node.name: node for node in best.nodes}, names), 0) if not witnessed else 0


def refuse_without_quorum(view: View, leaving: str) -> None:
    """Refuse to take away a node that is needed.

    Raises:
        AdminError: quorum-needed.
    """
    if survives(view, leaving) < 0:
        totals = [one.quorum for one in view.healths.values() if one.quorum]
        seen = max(totals, key=lambda one: one.total, default=None)
        raise AdminError(
            "quorum-needed",
            f"without {leaving} the cluster would have no quorum",
            observed=f"{seen.total} of {seen.expected} votes" if seen else "no votes",
            expected=f"{seen.expected // 2 + 1} votes without {leaving}" if seen else "quorum",
        )


def placements(leaving: str, guests: Sequence[RunningGuest], load: Mapping[str, int]) -> list[GuestMove]:
    """Where the guests go that this program moves: those that are not under HA. The node with the fewest guests first.

    Args:
        leaving: their node.
        guests: all that run on it, also those under HA.
        load: the nodes that may take guests, and how many run on each.

    Raises:
        AdminError: guest-stays, which names all that cannot leave.
    """
    amiss = [f"{one.name} ({one.sid}): {'; '.join(reasons)}" for one in guests if (reasons := _ties(one, load))]
    if amiss:
        raise AdminError(
            "guest-stays",
            f"not every guest can leave {leaving}",
            observed=" | ".join(amiss),
            expected="guests whose disks and rules allow another node",
        )
    counts, moves = dict(load), []
    for guest in guests:
        if guest.managed:
            continue
        target = min((counts[name], name) for name in _places(guest, load))[1]
        counts[target] += 1
        moves.append(GuestMove(guest.sid, target))
    return moves


def _places(guest: RunningGuest, load: Mapping[str, int]) -> list[str]:
    return [name for name in load if guest.nodes is None or name in guest.nodes]


def _ties(guest: RunningGuest, load: Mapping[str, int]) -> list[str]:
    if guest.obstacles or _places(guest, load):
        return list(guest.obstacles)
    return [f"only {', '.join(guest.nodes or [])} may have it"]


def load_of(view: View, leaving: str) -> dict[str, int]:
    """The nodes that may take guests, and how many run on each."""
    return {
        name: sum(guest.status == "running" for guest in health.running_guests or [])
        for name, health in view.healths.items()
        if name != leaving and health.works and name not in view.in_maintenance
    }


def order(names: Sequence[str], drained: str | None) -> list[str]:
    """Whose turn is when: the node that an earlier call has drained, then the others as they come."""
    return sorted(names, key=lambda name: name != drained)
