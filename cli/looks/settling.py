"""Waits for guests that HA moves: the provider looks for each guest where it was a moment ago, and fails if it has moved.

The wait is bounded. After that the run goes on: what keeps HA busy may be what the run repairs. A guest that moves during the
run is reported as `guest-moved`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.console import out
from cli.looks import whereabouts
from cli.state import belongings
from cli.state.belongings import CLUSTER
from cluster import marks, motion
from cluster.motion import Unrest
from cluster.transport import members
from components.site import Site
from config import topology
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cli.description import Description
    from cluster.marks import Look
    from cluster.transport.members import Opened

CONNECT_S = 5.0
POLL_S = 2.0


@dataclass(frozen=True)
class ClusterView:
    """What the cluster shows.

    Attributes:
        looks: of the nodes that may speak for it.
        answering: the names of the nodes that answer.
    """

    looks: Sequence[Look]
    answering: frozenset[str]


def answering(opened: Opened) -> frozenset[str]:
    """The names of the machines that answer."""
    return frozenset(name for name, one in opened.items() if not isinstance(one, StepError))


def wait(described: Description, state: dict[str, Any], seen: ClusterView | None = None) -> None:
    """Wait until guests stay where they are. For a cluster at rest, the look that was made anyway is enough.

    Args:
        described: what is described.
        state: what is recorded.
        seen: what the cluster showed; None when nodes were started since, and are to be members again.
    """
    guests = [*_guests(described, state)]
    begun, announced = time.monotonic(), False
    found = judged(seen or _look(described), guests, started=seen is None)
    while found:
        waited = time.monotonic() - begun
        shown = "; ".join(one.what for one in found)
        if all(waited >= one.patience_s for one in found):
            out.print(f"  no longer waiting, after {waited:.0f} s: {shown}", markup=False, soft_wrap=True)
            return
        if not announced:
            out.print(f"  waiting until guests stay where they are: {shown}", markup=False, soft_wrap=True)
            announced = True
        time.sleep(POLL_S)
        found = judged(_look(described), guests, started=seen is None)


def judged(seen: ClusterView, guests: Collection[str], *, started: bool) -> list[Unrest]:
    """Why guests may be elsewhere in a moment; pure.

    Args:
        seen: what the cluster shows.
        guests: those that count, as HA calls them.
        started: nodes were started, so a cluster without quorum is waited for.
    """
    if not seen.looks:
        return [Unrest("no node is a working member yet", motion.BACK_S)] if started else []
    speaker = next((look for look in seen.looks if look.cluster), None)
    # Without a speaker there is no cluster yet.
    return motion.unrest(speaker.motion, guests, seen.answering, _running(seen, speaker)) if speaker else []


def _running(seen: ClusterView, speaker: Look) -> frozenset[str] | None:
    """The guests whose migrations run, on the node that each leaves; None if a member that is up did not answer."""
    running = {look.node: look.motion.running for look in seen.looks}
    return None if speaker.motion.online - running.keys() else frozenset().union(*running.values())


def _guests(described: Description, state: dict[str, Any]) -> set[str]:
    """The guests that the provider or a step will look for: described ones, and VMs that are to be removed."""
    wanted = {topology.sid(one) for one in described.config.guests}
    known = belongings.recorded(state)
    return wanted | {f"vm:{one.name}" for one in known if one.place == CLUSTER and one.kind == marks.VM}


def _look(described: Description) -> ClusterView:
    return asyncio.run(_looked(described))


async def _looked(described: Description) -> ClusterView:
    nodes = Site(described.config, described.credentials, described.stack).machines
    key = described.credentials.ssh_private_key.get_secret_value()
    async with members.connections(nodes, key, timeout_s=CONNECT_S) as opened:
        return ClusterView(await whereabouts.cluster(opened, described), answering(opened))
