"""The way of a running cluster as its nodes show it, beside what is recorded. Pure.

It is what the step `identity` plans in a run, before any node is touched, made from the look that a preview began with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.drift.configuration import CHANGE
from cli.report.way import SHOWN_ELSEWHERE, Way, judged, shape
from cli.state import remembered
from cli.state.belongings import CLUSTER
from cluster import changing, replacing
from cluster.planning import known
from cluster.planning import live as planning
from cluster.planning.model import ReplaceMember
from components.recorded import ADMIN
from components.site import Site
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cli.description import Description
    from cli.engine.engine import Event
    from cli.looks.first_look import FirstLook
    from cluster.contract import ClusterChange
    from cluster.planning.model import Planned, Shape
    from onnode.contract.membership import Membership

IDENTITY = "identity"
PLANNING = (IDENTITY, CHANGE)  # the steps of which each begins with the whole plan
ACTS = ("create", "update", "create-replacement")
UNREACHABLE = "host-unreachable"
COUNTED_ON = "the plan takes it to be back by then"


@dataclass(frozen=True)
class Live:
    """A live cluster, and the way from there.

    Attributes:
        desired: the described cluster.
        told: what each node says that answers, by name.
        gone: the nodes whose VM is not on its host.
        planned: the transitions.
        refusal: why there is no way.
    """

    desired: ClusterChange
    told: Mapping[str, Membership]
    gone: frozenset[str] = frozenset()
    planned: list[Planned] = field(default_factory=list)
    refusal: StepError | None = None

    @property
    def newest(self) -> Membership | None:
        """The report whose configuration counts; None while there is no cluster."""
        return planning.newest(self.told.values())

    def way(self, before: Mapping[str, Any] | None, designed: Mapping[str, Any] | None) -> Way:
        """The way, judged by the guests of both designs."""
        if self.refusal is not None:
            return Way(refusal=None if self.refusal.code in SHOWN_ELSEWHERE else self.refusal)
        if self.newest is None:
            return Way()
        guests, described = ((design or {}).get("guests", []) for design in (before, designed))
        return judged(self.planned, planning.shape(self.newest), planning.wanted(self.desired), guests, described)

    def refuse(self, events: Iterable[Event]) -> None:
        """End as the run would, if one of the planned steps asks the live cluster.

        Raises:
            StepError: why there is no way.
        """
        if self.refusal is not None and is_asked(events):
            raise self.refusal

    def differences(self, before: Mapping[str, Any] | None, *, acting: bool) -> list[str]:
        """What is not as it is recorded, a line for each; nothing where nothing is recorded.

        Args:
            before: the recorded design.
            acting: with what the run does about it; otherwise without members that are away, which other lines name.
        """
        if before is None or self.newest is None:
            return ["no node is in a cluster"] if before is not None else []
        recorded, now = shape(before), planning.shape(self.newest)
        found = [self._member(name, recorded, now) for name in sorted(now.nodes.keys() | recorded.nodes.keys())]
        told = [
            what + (f": {then}" if acting and then else "") for what, then in found if what and (acting or not then)
        ]
        return [*told, *_configuration(recorded, now, self.newest.config_version)]

    def _member(self, name: str, recorded: Shape, now: Shape) -> tuple[str, str]:
        """What is different about it, and what the run does then; empty where nothing is."""
        described = any(member.name == name for member in self.desired.members)
        if name not in now.nodes:
            return f"{name} is no member", "it joins" if described else ""
        if name not in recorded.nodes:
            return (f"{name} is a member already", "") if described else (f"{name} is still a member", "it leaves")
        if any(step.transition == ReplaceMember(name) for step in self.planned):
            why = "its VM is gone" if name in self.gone else "it was installed anew"
            return f"{name} is lost, since {why}", "its entry is released, and it joins again"
        if name in self._voting:
            return "", ""
        what = f"{name} has no vote" if name in self.told else f"{name} does not answer, and has no vote"
        return what, COUNTED_ON if described else "it is off before it leaves"

    @cached_property
    def _voting(self) -> frozenset[str]:
        return planning.seen(self.newest, self.told, self.gone).voting if self.newest else frozenset()


def of(description: Description, state: Mapping[str, Any], seen: FirstLook) -> Live | None:
    """The live cluster; None if nodes that do not answer could show another one.

    Args:
        description: what is described.
        state: as the run would begin with it.
        seen: the look at all machines.
    """
    desired = Site(description.config, description.credentials, description.stack).change
    names = [member.name for member in desired.members]
    told = {name: seen.memberships[name] for name in names if name in seen.memberships}
    newest = planning.newest(told.values())
    # As the step does: another machine at a node's address is an error, whatever the others say.
    for name in names:
        if name in seen.unreached and seen.unreached[name].code != UNREACHABLE:
            return Live(desired, told, refusal=seen.unreached[name])
    if newest is None and len(told) < len(names):
        return None
    previous = remembered.facts(state, IDENTITY)
    hosts = {place: looks[0] for place, looks in seen.looks.items() if place != CLUSTER and looks}
    gone = replacing.not_there(desired, known.known(previous), told, newest, hosts) if newest else set[str]()
    try:
        changing.refuse_others(desired, told)
        planned = changing.foreseen(desired, previous, told, gone)
    except StepError as error:
        return Live(desired, told, frozenset(gone), refusal=error)
    return Live(desired, told, frozenset(gone), planned)


def is_asked(events: Iterable[Event]) -> bool:
    """Whether a run with this plan looks at the live cluster: a step without a difference does not run."""
    steps = [event.get("resourcePreEvent", {}).get("metadata", {}) for event in events]
    runs = {((step.get("new") or {}).get("inputs") or {}).get("create") for step in steps if step.get("op") in ACTS}
    return not runs.isdisjoint(f"{ADMIN} {step}" for step in PLANNING)


def _configuration(recorded: Shape, now: Shape, version: int | None) -> list[str]:
    """What corosync.conf has otherwise, of members that both know."""
    names = sorted(recorded.nodes.keys() & now.nodes.keys(), key=lambda name: now.nodes[name].id)
    differing = [*_nodes(recorded, now, names), *_settings(recorded, now)]
    return [f"corosync.conf, config_version {version or '?'}: {one}" for one in differing]


def _nodes(recorded: Shape, now: Shape, names: list[str]) -> Iterator[str]:
    for name in names:
        was, node = recorded.nodes[name], now.nodes[name]
        if was.id != node.id:
            yield f"{name} has id {node.id}, not {was.id}"
        if was.votes != node.votes:
            yield f"{name} has {node.votes} votes, not {was.votes}"
        for link in sorted(was.links.keys() | node.links.keys()):
            if was.links.get(link) != node.links.get(link):
                one, other = (links.get(link) or "no address" for links in (node.links, was.links))
                yield f"link {link} of {name} has {one}, not {other}"


def _settings(recorded: Shape, now: Shape) -> Iterator[str]:
    """Only what is recorded counts: what nobody described may be anything."""
    for link, priority in sorted(recorded.priorities.items()):
        if now.priorities.get(link) != priority:
            yield f"link {link} has priority {now.priorities.get(link, 'none')}, not {priority}"
    for name, value in sorted(recorded.totem.items()):
        if now.totem.get(name) != value:
            yield f"{name} is {now.totem.get(name, 'not set')}, not {value}"
    if recorded.witness != now.witness:
        yield f"the QDevice is {now.witness or 'none'}, not {recorded.witness or 'none'}"
