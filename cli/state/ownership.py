"""Whose the things on the machines are: described and recorded ones, compared with what the machines show. Pure.

A thing with this stack's mark is its own, recorded or not. A thing without it is somebody else's, whatever the state records: it
is neither changed nor removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.backend import namesakes
from cli.state import belongings
from cli.state.belongings import CLUSTER
from cluster import claims, marks
from cluster.errors import AdminError
from components.recorded import VM_TYPE
from config.model import ExistingNode, NestedNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cli.description import Description
    from cli.state.belongings import DescribedThing, RecordedThing
    from cluster.marks import Look, Thing

State = dict[str, Any]
LAST_LOOK = "-ha-ready"
Places = Mapping[str, Mapping[tuple[str, str], "Thing"]]


@dataclass(frozen=True)
class Findings:
    """What to do before the engine starts.

    Attributes:
        adopt: things of ours that exist and are not recorded.
        forget: recorded things that are no longer described, and are gone or somebody else's; each with what exists.
        withdraw: bridges of ours that are only planned on their host, and were never brought up.
        claimed: existing machines that belong to this stack.
    """

    adopt: list[DescribedThing] = field(default_factory=list)
    forget: list[tuple[RecordedThing, Thing | None]] = field(default_factory=list)
    withdraw: list[DescribedThing] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)


def compare(description: Description, state: State, looks: Mapping[str, Sequence[Look]]) -> Findings:
    """Decide what to do with what exists.

    Args:
        description: what is wanted.
        state: what the engine has recorded.
        looks: by place, what its machines show; places without a look are left alone.

    Raises:
        AdminError: stack-name-taken, machine-taken, foreign-vmid, foreign-bridge, guest-foreign, ha-foreign, vm-moved.
    """
    for machine in (one for found in looks.values() for one in found):
        namesakes.refuse(description.stack, machine.stacks, f"has things on {machine.machine}")
    owners = _owners(description, looks)
    claims.refuse_others(description.stack, owners)
    needed, known = belongings.described(description), belongings.recorded(state)
    _refuse(taken(description, state, looks), description.stack, {each.key for each in known})
    _refuse_moved(description, looks)
    findings = _unrecorded(needed, known, looks)
    findings.claimed.extend(name for name, owner in owners.items() if owner)
    findings.forget[:0] = lost(undescribed(description, known), looks)
    return findings


def taken(
    description: Description, state: State, looks: Mapping[str, Sequence[Look]]
) -> list[tuple[DescribedThing, Thing]]:
    """Described things that exist and are somebody else's: every run is refused until that is resolved."""
    there = {place: _by_name(found) for place, found in looks.items()}
    seen = {each.key for each in belongings.recorded(state)}
    foreign = [(need, thing) for need, thing in _there(belongings.described(description), there) if not thing.ours]
    return [(need, thing) for need, thing in foreign if not _misses_comment(need, thing, seen, there)]


def undescribed(description: Description, known: Iterable[RecordedThing]) -> list[RecordedThing]:
    """Recorded things that are not described any more."""
    asked = {each.key for each in belongings.described(description)}
    return [each for each in known if each.key not in asked]


def shown(
    known: Iterable[RecordedThing], looks: Mapping[str, Sequence[Look]]
) -> list[tuple[RecordedThing, Thing | None]]:
    """Recorded things of the places that were looked at, each with what exists."""
    there = _fully_known(looks)
    return [(each, there[each.place].get(each.key[1:])) for each in known if each.place in there]


def _owners(description: Description, looks: Mapping[str, Sequence[Look]]) -> dict[str, str]:
    """By existing machine, the stack whose name is written there."""
    existing = {node.name for node in description.config.nodes if isinstance(node, ExistingNode)}
    return {one.machine: one.owner for one in looks.get(CLUSTER, ()) if one.machine in existing}


def left(description: Description, state: State, looks: Mapping[str, Sequence[Look]]) -> Findings:
    """What killed runs left on outer hosts without a record: a destroy would leave it there for good."""
    return _unrecorded(
        [need for need in belongings.described(description) if need.place != CLUSTER], belongings.recorded(state), looks
    )


def _unrecorded(
    needed: Iterable[DescribedThing], known: Sequence[RecordedThing], looks: Mapping[str, Sequence[Look]]
) -> Findings:
    """Things of ours that exist and are not recorded, and bridges that are only planned."""
    findings, seen = Findings(), {each.key for each in known}
    for need, thing in _there(needed, _fully_known(looks)):
        if not (need.type and thing.ours and thing.kind == need.kind):
            continue
        if thing.pending:
            # The provider would take a planned bridge for an existing one, and never bring it up.
            findings.withdraw.append(need)
            findings.forget.extend((each, None) for each in known if each.key == need.key)
        elif need.key not in seen:
            findings.adopt.append(need)
    return findings


def _fully_known(looks: Mapping[str, Sequence[Look]]) -> dict[str, dict[tuple[str, str], Thing]]:
    """What exists by place, for the places that are fully known.

    The cluster is known from its members only. A machine that has not joined yet, or was reset, shows its own guests, and
    remains of a cluster that it has left.
    """
    by_place = {place: [one for one in found if place != CLUSTER or one.cluster] for place, found in looks.items()}
    return {place: _by_name(found) for place, found in by_place.items() if found}


def lost(
    known: Iterable[RecordedThing], looks: Mapping[str, Sequence[Look]]
) -> list[tuple[RecordedThing, Thing | None]]:
    """Recorded things that are gone, or somebody else's by now, each with what exists.

    They are forgotten, since the provider fails to delete a thing that is gone.
    """
    there = _fully_known(looks)
    found = []
    for each in known:
        thing = there.get(each.place, {}).get(each.key[1:])
        # A file that is not seen may be in another directory than the described one.
        gone = thing is None and each.place in there and each.kind != marks.IMAGE
        if gone or (thing is not None and not _own(thing, there[each.place])):
            found.append((each, thing))
    return found


def with_last_looks(state: State, urns: Iterable[str]) -> list[str]:
    """These URNs, and for guests among them that of the step which looks whose the guest is before its removal."""
    resources = state.get("deployment", {}).get("resources") or []
    forgotten = set(urns)
    owners = {entry.get("parent") for entry in resources if entry["urn"] in forgotten and entry["type"] == VM_TYPE}
    steps = [entry["urn"] for entry in resources if entry.get("parent") in owners and entry["urn"].endswith(LAST_LOOK)]
    return [*forgotten, *steps]


def _there(needed: Iterable[DescribedThing], there: Places) -> list[tuple[DescribedThing, Thing]]:
    pairs = [(need, there.get(need.place, {}).get(need.key[1:])) for need in needed]
    return [(need, thing) for need, thing in pairs if thing is not None]


def _own(thing: Thing, others: Mapping[tuple[str, str], Thing]) -> bool:
    """Whether it has the mark, or refers only to guests that have it: then somebody edited its comment."""
    guests = [others.get(("guest", sid.rpartition(":")[2])) for sid in thing.about]
    return thing.ours or (bool(guests) and all(guest is not None and guest.ours for guest in guests))


def _misses_comment(need: DescribedThing, thing: Thing, seen: set[tuple[str, str, str]], there: Places) -> bool:
    """Whether only the comment with the mark is missing from a recorded thing: the provider puts it back."""
    return need.key in seen and _own(thing, there[need.place])


def _by_name(looks: Iterable[Look]) -> dict[tuple[str, str], Thing]:
    """What exists, by name; a member's look counts more than that of a machine outside of the cluster."""
    by_weight = sorted(looks, key=lambda one: one.cluster != "")
    return {(belongings.numbered_with(thing.kind), thing.name): thing for found in by_weight for thing in found.things}


def _refuse(taken: Sequence[tuple[DescribedThing, Thing]], stack: str, seen: set[tuple[str, str, str]]) -> None:
    if not taken:
        return
    code = taken[0][0].code
    same = [(need, thing) for need, thing in taken if need.code == code]
    what = "something of that number or name exists already, and this stack did not make it"
    words = {
        "observed": "; ".join(thing.shown for _, thing in same),
        "expected": f"nothing of that number or name, or the one that this stack made, which has {marks.mark(same[0][1], stack)}",
        "fix": "; ".join(dict.fromkeys(need.other for need, _ in same)),
    }
    # The advice is never to mark a thing for its number or name alone: the next run could then destroy it.
    if any(need.key in seen for need, _ in same):
        words["fix"] += f"; `make status STACK={stack}` shows whether it may be the recorded one without its mark"
    raise marks.foreign(code, what, **words)


def _refuse_moved(description: Description, looks: Mapping[str, Sequence[Look]]) -> None:
    """Refuse a VM of ours that is on another outer node than described: a new one would be a second one."""
    for node in description.config.nodes:
        if not isinstance(node, NestedNode):
            continue
        for found in looks.get(node.host, ()):
            vm = next((thing for thing in found.things if (thing.kind, thing.name) == (marks.VM, str(node.vmid))), None)
            if vm is not None and vm.node != found.node:
                raise AdminError(
                    "vm-moved",
                    f"the VM of {node.name} is on another outer node than described",
                    observed=vm.shown,
                    expected=f"VM {node.vmid} on {found.node} (outer host {node.host})",
                    fix=f"on {vm.node}: `qm migrate {node.vmid} {found.node} --online`; or, to leave it there, describe {vm.node} "
                    f"as outer host and set host of {node.name} to it; then run the same command again",
                )


def state_lost(stack: str, things: Sequence[DescribedThing], claimed: Sequence[str] = ()) -> AdminError:
    """The refusal to build a stack again that exists, and of which nothing is recorded."""
    machines = [f"machine {name} ({claims.FILE} names it)" for name in claimed]
    shown = ", ".join([*(f"{each.kind} {each.name}" for each in things), *machines])
    return AdminError(
        "state-lost",
        f"stack {stack} exists already, and nothing of it is recorded here",
        observed=shown,
        expected=f"the state of stack {stack}, or nothing that carries its mark",
        fix="run this where the state is kept (another checkout or backend), or restore .nested-pve/state; "
        f"if the state is lost, `make adopt STACK={stack}` records what exists",
    )
