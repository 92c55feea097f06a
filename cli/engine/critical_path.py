"""Where the seconds of a run go: the chain of resources, each waiting for the one before, that ends last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Event = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """When the engine worked on a resource, in seconds since the start of the run."""

    urn: str
    start: float
    end: float


def spans(events: Iterable[tuple[float, Event]]) -> dict[str, Span]:
    """The work on each resource, from events with their time of arrival.

    A resource that the engine never finished is left out.
    """
    started: dict[str, float] = {}
    found: dict[str, Span] = {}
    for moment, event in events:
        if begun := event.get("resourcePreEvent"):
            started.setdefault(begun["metadata"]["urn"], moment)
        elif ended := event.get("resOutputsEvent"):
            urn = ended["metadata"]["urn"]
            found[urn] = Span(urn, started.get(urn, moment), moment)
    return found


def dependencies(deployment: Mapping[str, Any]) -> dict[str, set[str]]:
    """What each resource of an exported state waits for before the engine begins with it; components only group."""
    return {resource["urn"]: _waits_for(resource) for resource in deployment["resources"] if resource.get("custom")}


def _waits_for(resource: Mapping[str, Any]) -> set[str]:
    by_property = resource.get("propertyDependencies") or {}
    found = {*(resource.get("dependencies") or ()), *(urn for urns in by_property.values() for urn in urns or ())}
    found |= {
        resource.get("parent", ""),
        resource.get("deletedWith", ""),
        resource.get("provider", "").rpartition("::")[0],
    }
    return found - {""}


def critical_path(work: Mapping[str, Span], waits_for: Mapping[str, set[str]]) -> list[Span]:
    """The chain that ends last, first resource first: each began once the one before it, its last need, was done."""
    candidates = {urn: work[urn] for urn in waits_for if urn in work}
    current = max(candidates.values(), key=lambda span: span.end, default=None)
    chain: list[Span] = []
    while current is not None:
        chain.append(current)
        # What is asked for must have ended earlier, so the chain ends, whatever the state says.
        needed = (candidates[urn] for urn in waits_for[current.urn] if urn in candidates)
        earlier = [span for span in needed if span.end < chain[-1].end]
        current = max(earlier, key=lambda span: span.end, default=None)
    return chain[::-1]


def inverted(waits_for: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same for a destroy, in which each resource waits until those are gone that need it."""
    return {urn: {other for other, needs in waits_for.items() if urn in needs} for urn in waits_for}
