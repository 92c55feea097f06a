"""Where a service may run, and where it should."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from typing import TYPE_CHECKING

from pvelab.ha.model import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pvelab.ha.model import Resource, Service

_ANYWHERE_ELSE = -1


@dataclasses.dataclass(frozen=True)
class NodeAffinity:
    """Nodes by priority, higher first; strict forbids all others."""

    priorities: Mapping[str, int]
    strict: bool = False


@dataclasses.dataclass(frozen=True)
class ResourceAffinity:
    """Resources that keep together or apart."""

    sids: frozenset[str]
    together: bool


@dataclasses.dataclass(frozen=True)
class Affinities:
    """All rules in force."""

    nodes: Mapping[str, NodeAffinity] = dataclasses.field(default_factory=dict)
    resources: Sequence[ResourceAffinity] = ()

    def neighbours(self, sid: str, *, together: bool) -> frozenset[str]:
        """The resources that are to be on the same node as this one, or on others."""
        rules = [rule.sids for rule in self.resources if rule.together is together and sid in rule.sids]
        return frozenset[str]().union(*rules) - {sid}


@dataclasses.dataclass(frozen=True)
class Situation:
    """What a placement depends on: all services, the nodes that may take them, the rules in force."""

    services: Mapping[str, Service]
    online: Sequence[str]
    affinities: Affinities


class Preference(enum.Enum):
    """What counts when a node is selected."""

    STAY = "the present node, where the rules leave it a choice"
    BEST = "the node with the fewest services"
    NEXT = "a node where the service did not fail to start"


def usage(services: Mapping[str, Service], online: Iterable[str]) -> dict[str, int]:
    """How many services each online node carries, or will when a move ends."""
    counts = dict.fromkeys(online, 0)
    for service in services.values():
        for node in _used(service):
            if node in counts:
                counts[node] += 1
    return counts


def select_node(
    resource: Resource, service: Service, situation: Situation, preference: Preference = Preference.STAY
) -> str | None:
    """The node where a service should run, None when no online node is allowed.

    Args:
        resource: its configuration.
        service: where it is, and where it failed to start.
        situation: the other services, the nodes, and the rules.
        preference: what to choose by.
    """
    priorities = _allowed(resource.sid, situation)
    if not priorities:
        return None
    together, apart = _neighbours_by_node(resource.sid, situation)
    is_allowed_here = service.node in priorities and (together[service.node] or not apart[service.node])
    if preference is Preference.STAY and not resource.failback and is_allowed_here:
        return service.node
    top = max(priorities.values())
    preferred = {node for node, priority in priorities.items() if priority == top} - apart.keys()
    if preference is Preference.NEXT:
        preferred -= set(service.failed_nodes)
    most = max((together[node] for node in preferred), default=0)
    if most:
        preferred = {min(node for node in preferred if together[node] == most)}
    if not preferred:
        return None
    for kept in (service.maintenance_node, service.node if preference is Preference.STAY else None):
        if kept in preferred:
            return kept
    others = {sid: other for sid, other in situation.services.items() if sid != resource.sid}
    load = usage(others, situation.online)
    candidates = sorted(preferred, key=lambda node: (load[node], node))
    if preference is Preference.NEXT and service.node in candidates[:-1]:
        return candidates[candidates.index(service.node) + 1]
    return candidates[0]


def _allowed(sid: str, situation: Situation) -> dict[str, int]:
    affinity = situation.affinities.nodes.get(sid)
    if affinity is None:
        return dict.fromkeys(situation.online, 0)
    listed = {node: priority for node, priority in affinity.priorities.items() if node in situation.online}
    if affinity.strict:
        return listed
    return {node: listed.get(node, _ANYWHERE_ELSE) for node in situation.online}


def _neighbours_by_node(sid: str, situation: Situation) -> tuple[Counter[str], Counter[str]]:
    """How many resources that belong together with this one, or apart from it, each online node carries."""

    def count(*, together: bool) -> Counter[str]:
        others = situation.affinities.neighbours(sid, together=together) & situation.services.keys()
        places = [place for other in others for place in _used(situation.services[other])]
        return Counter(place for place in places if place in situation.online)

    return count(together=True), count(together=False)


def _used(service: Service) -> set[str]:
    """A service on the move counts where it will be, too; one that is stopped nowhere."""
    return set() if service.state in (State.STOPPED, State.REQUEST_START) else service.places
