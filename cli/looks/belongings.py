"""Whose is what is there: what is described and recorded, compared with what the machines show; pure.

What carries this stack's mark is its own, recorded or not. What does not is somebody else's, whatever the state says of
it: it is neither changed nor removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.state import namesakes
from cli.state.interrupted import IDS
from cluster import claims, marks
from cluster.errors import AdminError
from components.recorded import BRIDGE_TYPE, FILE_TYPE, GROUP_TYPE, RESOURCE_TYPE, RULE_TYPE, VM_TYPE
from config.model import ExistingNode, NestedNode, VmGuest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cli.description import Description
    from cluster.marks import Look, Thing

State = dict[str, Any]
CLUSTER = "cluster"
LAST_LOOK = "-ha-ready"
RULES_SINCE = 9
KINDS = {
    VM_TYPE: marks.VM,
    BRIDGE_TYPE: marks.BRIDGE,
    FILE_TYPE: marks.IMAGE,
    RESOURCE_TYPE: marks.RESOURCE,
    RULE_TYPE: marks.RULE,
    GROUP_TYPE: marks.GROUP,
}
_GUESTS = (marks.VM, marks.CONTAINER)
Places = Mapping[str, Mapping[tuple[str, str], "Thing"]]


@dataclass(frozen=True)
class Wanted:
    """Something described.

    Attributes:
        place: the outer host's name, or CLUSTER.
        kind: what it is on the machine.
        name: what it is found by there.
        type: the engine's type; empty for what a step makes.
        logical: its name in the program.
        code: the refusal, when somebody else has it.
        other: the change that avoids it.
    """

    place: str
    kind: str
    name: str
    type: str
    logical: str
    code: str
    other: str

    @property
    def of(self) -> str:
        """Whom it is about: the guest or template, or else the place."""
        if self.code != "guest-foreign":
            return self.place
        return self.logical.removesuffix("-vm") if self.type else self.logical


@dataclass(frozen=True)
class Recorded:
    """Something that the engine says it made; replaced by another one of its URN, and still to be deleted, or not."""

    place: str
    kind: str
    name: str
    urn: str
    replaced: bool = False


@dataclass(frozen=True)
class Findings:
    """What to do before the engine is let go.

    Attributes:
        adopt: ours, there, and not recorded.
        forget: recorded, no more described, and gone, or somebody else's by now; with what is there.
        withdraw: bridges of ours that were written down and never brought up.
        claimed: existing machines that belong to this stack.
    """

    adopt: list[Wanted] = field(default_factory=list)
    forget: list[tuple[Recorded, Thing | None]] = field(default_factory=list)
    withdraw: list[Wanted] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)


def wanted(description: Description) -> list[Wanted]:
    """All that is described and that somebody else could have."""
    config = description.config
    found = []
    for host in config.outer_hosts:
        found += [
            _on_host(host.name, marks.BRIDGE, bridge.name, BRIDGE_TYPE, f"{host.name}-{bridge.name}")
            for bridge in host.bridges
            if bridge.managed
        ]
        if host.installer.url:
            image = marks.image_name(description.stack, host.name, host.installer.url)
            found.append(_on_host(host.name, marks.IMAGE, image, FILE_TYPE, f"{host.name}-installer"))
    found += [
        _on_host(node.host, marks.VM, str(node.vmid), VM_TYPE, f"{node.name}-vm")
        for node in config.nodes
        if isinstance(node, NestedNode)
    ]
    found += [_guest(marks.VM, template.vmid, template.name, "") for template in config.templates]
    for guest in config.guests:
        vm = isinstance(guest, VmGuest)
        found.append(_guest(marks.VM if vm else marks.CONTAINER, guest.vmid, guest.name, VM_TYPE if vm else ""))
        found += _registration(
            guest.name, f"{'vm' if vm else 'ct'}:{guest.vmid}", config.pve_major, bool(guest.ha.nodes)
        )
    return found


def _on_host(host: str, kind: str, name: str, type_: str, logical: str) -> Wanted:
    code = "foreign-vmid" if kind == marks.VM else "foreign-bridge"
    other = "give the node another vmid" if kind == marks.VM else "choose another name for the bridge"
    return Wanted(host, kind, name, type_, logical, code, f"{other} in the stack file")


def _guest(kind: str, vmid: int, name: str, type_: str) -> Wanted:
    other = f"give {name} another vmid in the stack file"
    return Wanted(CLUSTER, kind, str(vmid), type_, f"{name}-vm" if type_ else name, "guest-foreign", other)


def _registration(guest: str, sid: str, pve_major: int, placed: bool) -> list[Wanted]:  # noqa: FBT001 - of this module
    other = f"give {guest} another name or vmid in the stack file, or take what is there out of HA yourself"
    found = [Wanted(CLUSTER, marks.RESOURCE, sid, RESOURCE_TYPE, f"{guest}-ha", "ha-foreign", other)]
    if placed:
        rule = pve_major >= RULES_SINCE
        kind, type_, suffix = (marks.RULE, RULE_TYPE, "rule") if rule else (marks.GROUP, GROUP_TYPE, "group")
        found.append(Wanted(CLUSTER, kind, f"{guest}-placement", type_, f"{guest}-ha-{suffix}", "ha-foreign", other))
    return found


def recorded(state: State) -> list[Recorded]:
    """What the engine says it made, of the kinds that machines can be asked for."""
    found = []
    for entry in state.get("deployment", {}).get("resources") or []:
        kind = KINDS.get(entry["type"])
        if kind is None or entry.get("external"):
            continue
        inputs = entry.get("inputs") or {}
        try:
            identity = IDS[entry["type"]](inputs)
        except KeyError:
            continue
        name = {marks.BRIDGE: inputs.get("name"), marks.IMAGE: inputs.get("fileName")}.get(kind, identity)
        found.append(
            Recorded(_place(entry.get("provider") or ""), kind, str(name), entry["urn"], bool(entry.get("delete")))
        )
    return found


def _place(provider: str) -> str:
    """The machines behind a provider, from its reference `URN::ID`."""
    urn = provider.rpartition("::")[0]
    return urn.rpartition("::")[2].removesuffix("-api")


def compare(description: Description, state: State, looks: Mapping[str, Sequence[Look]]) -> Findings:
    """Decide what to do with what is there.

    Args:
        description: what is wanted.
        state: what the engine has recorded.
        looks: by place, what its machines show; a place that nobody looked at is left alone.

    Raises:
        AdminError: stack-name-taken, machine-taken, foreign-vmid, foreign-bridge, guest-foreign, ha-foreign, vm-moved.
    """
    for machine in (one for found in looks.values() for one in found):
        namesakes.refuse(description.stack, machine.stacks, f"has things on {machine.machine}")
    owners = _owners(description, looks)
    claims.refuse_others(description.stack, owners)
    needed, known = wanted(description), recorded(state)
    _refuse(taken(description, state, looks), description.stack, {_key(each) for each in known})
    _refuse_moved(description, looks)
    findings = _unrecorded(needed, known, looks)
    findings.claimed.extend(name for name, owner in owners.items() if owner)
    findings.forget[:0] = lost(undescribed(description, known), looks)
    return findings


def taken(description: Description, state: State, looks: Mapping[str, Sequence[Look]]) -> list[tuple[Wanted, Thing]]:
    """What is described, there, and somebody else's: no run goes on before that is resolved."""
    there = {place: _by_name(found) for place, found in looks.items()}
    seen = {_key(each) for each in recorded(state)}
    foreign = [(need, thing) for need, thing in _there(wanted(description), there) if not thing.ours]
    return [(need, thing) for need, thing in foreign if not _strayed(need, thing, seen, there)]


def undescribed(description: Description, known: Iterable[Recorded]) -> list[Recorded]:
    """What is recorded, and not described any more."""
    asked = {_key(each) for each in wanted(description)}
    return [each for each in known if _key(each) not in asked]


def shown(known: Iterable[Recorded], looks: Mapping[str, Sequence[Look]]) -> list[tuple[Recorded, Thing | None]]:
    """What is recorded of the places that were looked at, each with what is there."""
    there = _knowing(looks)
    return [(each, there[each.place].get(_key(each)[1:])) for each in known if each.place in there]


def _owners(description: Description, looks: Mapping[str, Sequence[Look]]) -> dict[str, str]:
    """By existing machine, the stack that is entered there."""
    existing = {node.name for node in description.config.nodes if isinstance(node, ExistingNode)}
    return {one.machine: one.owner for one in looks.get(CLUSTER, ()) if one.machine in existing}


def left(description: Description, state: State, looks: Mapping[str, Sequence[Look]]) -> Findings:
    """What runs that died left on outer hosts, and nobody recorded: a destroy would leave it there for good."""
    return _unrecorded([need for need in wanted(description) if need.place != CLUSTER], recorded(state), looks)


def _unrecorded(needed: Iterable[Wanted], known: Sequence[Recorded], looks: Mapping[str, Sequence[Look]]) -> Findings:
    """What is there, ours, and either not recorded, or recorded and only written down."""
    findings, seen = Findings(), {_key(each) for each in known}
    for need, thing in _there(needed, _knowing(looks)):
        if not (need.type and thing.ours and thing.kind == need.kind):
            continue
        if thing.pending:
            # The provider would take what is only written down for there, and never bring it up.
            findings.withdraw.append(need)
            findings.forget.extend((each, None) for each in known if _key(each) == _key(need))
        elif _key(need) not in seen:
            findings.adopt.append(need)
    return findings


def _knowing(looks: Mapping[str, Sequence[Look]]) -> dict[str, dict[tuple[str, str], Thing]]:
    """What is there by place, for those places of which somebody knows all.

    Of the cluster only its members do: a machine that is in none, since it has not joined yet or was reset, shows its
    own guests, and what it remembers of a cluster that it has left.
    """
    by_place = {place: [one for one in found if place != CLUSTER or one.cluster] for place, found in looks.items()}
    return {place: _by_name(found) for place, found in by_place.items() if found}


def lost(known: Iterable[Recorded], looks: Mapping[str, Sequence[Look]]) -> list[tuple[Recorded, Thing | None]]:
    """What is recorded, and gone, or by now somebody else's, each with what is there.

    The provider could not delete what is gone: it fails.
    """
    there = _knowing(looks)
    found = []
    for each in known:
        thing = there.get(each.place, {}).get(_key(each)[1:])
        # A file that is not seen may be in another directory than described.
        gone = thing is None and each.place in there and each.kind != marks.IMAGE
        if gone or (thing is not None and not _own(thing, there[each.place])):
            found.append((each, thing))
    return found


def with_last_looks(state: State, urns: Iterable[str]) -> list[str]:
    """These and, of guests among them, the step that would look once more whose the guest is before it is deleted."""
    resources = state.get("deployment", {}).get("resources") or []
    forgotten = set(urns)
    owners = {entry.get("parent") for entry in resources if entry["urn"] in forgotten and entry["type"] == VM_TYPE}
    steps = [entry["urn"] for entry in resources if entry.get("parent") in owners and entry["urn"].endswith(LAST_LOOK)]
    return [*forgotten, *steps]


def _key(each: Wanted | Recorded) -> tuple[str, str, str]:
    return each.place, _class(each.kind), each.name


def _there(needed: Iterable[Wanted], there: Places) -> list[tuple[Wanted, Thing]]:
    pairs = [(need, there.get(need.place, {}).get(_key(need)[1:])) for need in needed]
    return [(need, thing) for need, thing in pairs if thing is not None]


def _own(thing: Thing, others: Mapping[tuple[str, str], Thing]) -> bool:
    """Whether it has the mark, or is about nothing but guests that have it: somebody edited what was recorded."""
    guests = [others.get(("guest", sid.rpartition(":")[2])) for sid in thing.about]
    return thing.ours or (bool(guests) and all(guest is not None and guest.ours for guest in guests))


def _strayed(need: Wanted, thing: Thing, seen: set[tuple[str, str, str]], there: Places) -> bool:
    """Whether it is recorded and ours but for its comment, which the provider puts back."""
    return _key(need) in seen and _own(thing, there[need.place])


def _class(kind: str) -> str:
    """VMs and containers share their numbers."""
    return "guest" if kind in _GUESTS else kind


def _by_name(looks: Iterable[Look]) -> dict[tuple[str, str], Thing]:
    """The word of a cluster's member counts more than that of a machine beside it."""
    by_weight = sorted(looks, key=lambda one: one.cluster != "")
    return {(_class(thing.kind), thing.name): thing for found in by_weight for thing in found.things}


def _refuse(taken: Sequence[tuple[Wanted, Thing]], stack: str, seen: set[tuple[str, str, str]]) -> None:
    if not taken:
        return
    code = taken[0][0].code
    same = [(need, thing) for need, thing in taken if need.code == code]
    what = "what is described is there already, and this stack did not make it"
    said = {
        "observed": "; ".join(thing.shown for _, thing in same),
        "expected": f"nothing of that number or name but what this stack made, which has {marks.mark(same[0][1], stack)}",
        "fix": "; ".join(dict.fromkeys(need.other for need, _ in same)),
    }
    # Nobody is told to mark what has only the number or name: that would let the next run destroy it.
    if any(_key(need) in seen for need, _ in same):
        said["fix"] += f"; `make status STACK={stack}` tells whether it may be the recorded one, which lost its mark"
    raise marks.foreign(code, what, **said)


def _refuse_moved(description: Description, looks: Mapping[str, Sequence[Look]]) -> None:
    """A VM of ours that is on another outer node than described: made anew it would be there twice, or lost."""
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


def state_lost(stack: str, things: Sequence[Wanted], claimed: Sequence[str] = ()) -> AdminError:
    """The refusal to build on what is there as if nothing were."""
    machines = [f"machine {name} ({claims.FILE} names it)" for name in claimed]
    shown = ", ".join([*(f"{each.kind} {each.name}" for each in things), *machines])
    return AdminError(
        "state-lost",
        f"stack {stack} is built already, and nothing of it is recorded here",
        observed=shown,
        expected=f"the state of stack {stack}, or nothing that carries its mark",
        fix="work where its state is (another checkout, another backend), or bring back .nested-pve/state; "
        f"where it is lost for good, `make adopt STACK={stack}` records all that is there",
    )
