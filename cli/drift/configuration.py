"""What somebody changed in the configuration of the live cluster, from the members' answers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.drift.kinds import CONFIGURATION
from cli.drift.model import Drift
from cluster.errors import AdminError
from cluster.planning import live, words
from cluster.planning.model import SetQDevice
from cluster.planning.plan import plan
from cluster.planning.rewriting import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from cluster.contract import ClusterChange
    from cluster.planning.model import Transition
    from onnode.contract.membership import Membership

CHANGE, QDEVICE = "change-cluster", "set-qdevice"


def differs(asked: Mapping[str, tuple[str, Any]], reports: Mapping[str, Membership]) -> Iterator[Drift]:
    """Votes, links, settings and a QDevice that are not the described ones: the steps that change them run again.

    Only what these steps can do by themselves counts: members that come or go, and a QDevice that goes, have findings of their own.

    Args:
        asked: steps on the control machine, by URN, with their name and input, in the order of the state.
        reports: what the nodes that answered say of their cluster, by name.
    """
    urns = {step: urn for urn, (step, _) in reversed(list(asked.items()))}  # the first of each
    if CHANGE not in urns:
        return
    transitions = _mending(asked[urns[CHANGE]][1], reports)
    own = [words.done(one) for one in transitions if isinstance(one, OWN)]
    witness = [words.done(one) for one in transitions if isinstance(one, SetQDevice)]
    if len(own) + len(witness) < len(transitions):
        return
    for step, mending in ((CHANGE, own), (QDEVICE, witness)):
        if mending and step in urns:
            what = f"corosync.conf is not as described: {'; '.join(mending)}"
            yield Drift(urns[step], "cluster", what, CONFIGURATION)


def _mending(wanted: ClusterChange, reports: Mapping[str, Membership]) -> list[Transition]:
    """What puts it right; nothing where the steps would refuse: that has findings of its own."""
    newest = live.newest(reports.values())
    if newest is None:
        return []
    seen, described = live.seen(newest, reports, lost=()), live.wanted(wanted)
    recorded = {name: node.links for name, node in described.nodes.items()}
    try:
        steps = plan(recorded, live.shape(newest), seen, described)
    except AdminError:
        return []
    return [step.transition for step in steps]
