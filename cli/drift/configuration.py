"""What somebody changed in the configuration of the live cluster, from the members' answers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.drift.kinds import CONFIGURATION
from cli.drift.model import Drift
from cluster.errors import AdminError
from cluster.planning import live, words
from cluster.planning.plan import plan
from cluster.planning.rewriting import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from cluster.contract import ClusterChange
    from onnode.contract import Membership

CHANGE = "change-cluster"


def differs(asked: Mapping[str, tuple[str, Any]], reports: Mapping[str, Membership]) -> Iterator[Drift]:
    """Votes, links and settings that are not the described ones: the first step that changes them runs again.

    Args:
        asked: steps on the control machine, by URN, with their name and input, in the order of the state.
        reports: what the nodes that answered say of their cluster, by name.
    """
    first = next(((urn, wanted) for urn, (step, wanted) in asked.items() if step == CHANGE), None)
    if first is None:
        return
    urn, wanted = first
    if mending := _mending(wanted, reports):
        yield Drift(urn, "cluster", f"corosync.conf is not as described: {'; '.join(mending)}", CONFIGURATION)


def _mending(wanted: ClusterChange, reports: Mapping[str, Membership]) -> list[str]:
    """What the step would do, in words; nothing where it would refuse: that has findings of its own."""
    newest = live.newest(reports.values())
    if newest is None:
        return []
    seen, described = live.seen(newest, reports, lost=()), live.wanted(wanted)
    recorded = {name: node.links for name, node in described.nodes.items()}
    try:
        steps = plan(recorded, live.shape(newest), seen, described)
    except AdminError:
        return []
    return [words.done(step.transition) for step in steps if isinstance(step.transition, OWN)]
