"""Where a service may run, and where it should."""

from __future__ import annotations

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Situation:
    """What a placement depends on: all services, the nodes that may take them, the rules in force."""

    services: Mapping[str, Service]
    online: Sequence[str]
    affinities: Affinities


def usage(services: Mapping[str, Service], online: Iterable[str]) -> dict[str, int]:
    """How many services each online node carries, or will when a move ends."""
    counts = dict.fromkeys(online, 0)
    for service in services.values():
        if service.state is State.STOPPED:
            continue
        for node in {service.node, service.target}:
            if node in counts:
                counts[node] += 1
    return counts


def select_node(resource: Resource, service: Service, situation: Situation, *, try_next: bool = False) -> str | None:
    """The node where a service should run, None when no online node is allowed.

    Args:
        resource: its configuration.
        service: where it is, and where it failed to start.
        situation: the other services, the nodes, and the rules.
        try_next: it failed where it is; choose another node if there is one.
    """
    priorities = _allowed(resource.sid, situation)
    if not priorities:
        return None
    stays = not try_next and not resource.failback
    if stays and service.node in _respect_neighbours(resource.sid, set(priorities), situation):
        return service.node
    top = max(priorities.values())
    preferred = {node for node, priority in priorities.items() if priority == top}
    if try_next:
        preferred -= set(service.failed_nodes)
    preferred = _respect_neighbours(resource.sid, preferred, situation)
    if not preferred:
        return None
    if not try_next and service.node in preferred:
        return service.node
    others = {sid: other for sid, other in situation.services.items() if sid != resource.sid}
    load = usage(others, situation.online)
    candidates = sorted(preferred, key=lambda node: (load[node], node))
    if try_next and service.node in candidates[:-1]:
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


def _respect_neighbours(sid: str, nodes: set[str], situation: Situation) -> set[str]:
    """Leave only nodes where the resources of a common rule are (together), or are not (apart)."""
    left = set(nodes)
    for rule in situation.affinities.resources:
        if sid not in rule.sids:
            continue
        others = [situation.services[other] for other in rule.sids - {sid} if other in situation.services]
        occupied = {node for other in others for node in _places(other)}
        if rule.together:
            left = left & occupied or left
        else:
            left -= occupied
    return left


def _places(service: Service) -> set[str]:
    """A service on the move counts where it will be, too."""
    return {place for place in (service.node, service.target) if place}
