"""Drift of things that are somebody else's, or no longer in the stack file. Pure.

A number or a name does not show whose a thing is. So nobody is advised to correct a thing without this stack's mark, let alone to
mark it: the next run could then change or destroy it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.drift import bridge, questions, virtual_machine
from cli.drift.kinds import FOREIGN, UNDESCRIBED
from cli.drift.model import Drift
from cli.engine.failures import resource_name
from cli.state import belongings, outer_vms, ownership
from cli.state.belongings import CLUSTER, RecordedThing
from cluster import marks, proxmox_ve
from cluster.contract import Container, ExistingGuest, Template
from components.recorded import GUEST, VM_TYPE
from config import topology

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cli.description import Description
    from cli.drift.questions import State
    from cli.state.belongings import DescribedThing
    from cluster.marks import Look, Thing

    Files = Mapping[str, str]

UNTOUCHED = "`make up` leaves it alone, and only takes it out of the state"
FORGOTTEN = "`make up` only takes it out of the state, and it stays as it is"
DESCRIBE = "to keep it, put it back into the stack file; otherwise `make up`"
NODE = (
    "to keep it, put its node back into the stack file; otherwise `make up` takes the node out of the cluster, and {}"
)
STORAGE = "storage"
_PLACED = (marks.RULE, marks.GROUP)
_HA = (marks.RESOURCE, *_PLACED)
_GOES = {
    marks.VM: "destroys it with its disks",
    marks.CONTAINER: "destroys it with its disks",
    marks.BRIDGE: "removes it",
    marks.IMAGE: "removes it",
} | dict.fromkeys(_HA, "takes it out of HA")


@dataclass(frozen=True)
class Inventory:
    """What is described, what is recorded, and what the machines show of it.

    Attributes:
        asked: the questions, with what is recorded.
        files: of the cluster and of outer hosts, by place.
    """

    description: Description
    state: State
    asked: questions.Questions
    files: Mapping[str, Files]

    @property
    def looks(self) -> dict[str, list[Look]]:
        """What exists and whose it is, as these files show it."""
        return {place: [self._look(place, files)] for place, files in self.files.items()}

    @property
    def entries(self) -> dict[str, State]:
        """What is recorded, by URN."""
        return _entries(self.state)

    def _look(self, place: str, files: Files) -> Look:
        things = proxmox_ve.read(
            {path.removeprefix("/"): text for path, text in files.items()}, place, self.description.stack
        )
        return marks.Look(
            place, place, quorate=True, things=tuple(things), cluster=self.description.config.cluster.name
        )


def _entries(state: State) -> dict[str, State]:
    """What is recorded, by URN; a replaced resource, which shares its URN, gives way to the one that replaced it."""
    resources = state["deployment"].get("resources") or []
    return {entry["urn"]: entry for entry in sorted(resources, key=lambda entry: not entry.get("delete"))}


def explained(inventory: Inventory, found: Iterable[Drift]) -> list[Drift]:
    """What drifted; things that are somebody else's, or not described any more, are named as such, and not as drift."""
    foreign = list(_foreign(inventory))
    undescribed = [*_undescribed(inventory), *_storages(inventory), *_existing_guests(inventory)]
    named = [one for one, _ in (*foreign, *undescribed)]
    covered = {urn for _, urns in (*foreign, *undescribed) for urn in urns}
    return [*named, *(one for one in found if one.urn not in covered)]


def _foreign(inventory: Inventory) -> Iterator[tuple[Drift, set[str]]]:
    """What is described and somebody else's, each with the URNs whose own drift it replaces."""
    looks, known = inventory.looks, _recorded(inventory)
    for need, thing in ownership.taken(inventory.description, inventory.state, looks):
        urn = next((each.urn for each in known if _is_of(need, each)), "")
        what = f"{thing.shown}: not this stack's, and the stack file describes {need.kind} {need.name}"
        entry = inventory.entries.get(urn)
        mark = marks.mark(thing, inventory.description.stack)
        own = f"; only if it is this stack's own and lost its mark, give it the {mark} again"
        alike = entry is not None and _alike(entry, thing, inventory.files[need.place])
        step = f"`make up` leaves it alone; {need.other}{own if alike else ''}"
        where = "cluster" if need.of == CLUSTER else need.of
        yield Drift(urn, where, what, FOREIGN, step), _with_registration(inventory, urn)


def _is_of(need: DescribedThing, each: RecordedThing) -> bool:
    return need.place == each.place and (need.kind, need.name) == (each.kind, each.name) and not each.replaced


def _alike(entry: State, thing: Thing, files: Files) -> bool:
    """Whether it is the recorded thing without its mark: by more than its number or name."""
    if thing.kind == marks.VM and entry["type"] == VM_TYPE:
        return virtual_machine.is_the_recorded(entry, files)
    return thing.kind == marks.BRIDGE and bridge.is_the_recorded(entry["inputs"], files)


def _undescribed(inventory: Inventory) -> Iterator[tuple[Drift, set[str]]]:
    looks = inventory.looks
    known = ownership.undescribed(inventory.description, _recorded(inventory))
    lost = {id(each) for each, _ in ownership.lost(known, looks)}
    # The rule of a guest that got another name gives way to one of that name.
    described = {need.logical for need in belongings.described(inventory.description)}
    known = [each for each in known if each.kind not in _PLACED or resource_name(each.urn) not in described]
    guests = [each for each in known if each.kind in (marks.VM, marks.CONTAINER) and not each.replaced]
    covered = {urn for each in guests for urn in _with_registration(inventory, each.urn) if urn != each.urn}
    for each, thing in ownership.shown(known, looks):
        if each.urn in covered:
            continue  # the guest's own line covers it
        where = "cluster" if each.place == CLUSTER else each.place
        what, step = _shown(inventory, each, thing, lost=id(each) in lost)
        # The one that replaced it has the same URN, and may have drifted.
        yield (
            Drift(each.urn, where, what, UNDESCRIBED, step),
            set() if each.replaced else _with_registration(inventory, each.urn),
        )


def _storages(inventory: Inventory) -> Iterator[tuple[Drift, set[str]]]:
    described = {storage.name for storage in inventory.description.config.storages}
    for one in inventory.asked.cluster if CLUSTER in inventory.files else ():
        if one.step == STORAGE and (name := json.loads(one.desired)["name"]) not in described:
            keeps = inventory.entries[one.name].get("retainOnDelete")
            step = FORGOTTEN if keeps else f"{DESCRIBE} takes it out of the cluster; its content stays"
            what = f"storage {name}: this stack's, and not in the stack file any more"
            yield Drift(one.name, "cluster", what, UNDESCRIBED, step), {one.name}


def _existing_guests(inventory: Inventory) -> Iterator[tuple[Drift, set[str]]]:
    """Guests that existed, and that this stack has put under HA."""
    described = {(topology.guest_type(guest), guest.vmid) for guest in inventory.description.config.guests}
    for urn, (_, wanted) in inventory.asked.here.items() if CLUSTER in inventory.files else ():
        if isinstance(wanted, ExistingGuest) and (wanted.type, wanted.vmid) not in described:
            what = f"{wanted.sid} ({wanted.name}): under this stack's HA, and not in the stack file any more"
            step = f"{DESCRIBE} takes it out of HA, as far as this stack put it there; it runs on"
            yield Drift(urn, "cluster", what, UNDESCRIBED, step), {urn}


def _shown(inventory: Inventory, each: RecordedThing, thing: Thing | None, *, lost: bool) -> tuple[str, str]:
    """What is there, and what the next run does with it."""
    entry = inventory.entries[each.urn]
    name = _name(entry)
    recorded = f"{each.kind} {each.name}" + (f" ({name})" if name else "")
    if thing is None and lost:
        return f"{recorded} is gone, and not in the stack file any more", "`make up` only takes it out of the state"
    if lost and thing is not None:
        return (
            f"{thing.shown}: not this stack's; {recorded} is still recorded, and not in the stack file any more",
            UNTOUCHED,
        )
    there = thing.shown if thing is not None else recorded
    other = f" (recorded as {name})" if thing is not None and name and f"({name})" not in there else ""
    what = f"{there}{other}: this stack's, and not in the stack file any more"
    if entry.get("retainOnDelete"):
        return what, FORGOTTEN
    if each.kind == marks.VM and each.place != CLUSTER:
        return what, NODE.format(_GOES[marks.VM])
    return what, f"{DESCRIBE} {_GOES[each.kind]}"


def _name(entry: State) -> str:
    """The name that a guest is recorded with."""
    inputs = entry.get("inputs") or {}
    if isinstance(inputs.get("stdin"), str):
        return str(json.loads(inputs["stdin"]).get("name", ""))
    return str(inputs.get("name") or "") if "vmId" in inputs else ""


def destroyed(state: State, looks: Mapping[str, Sequence[Look]]) -> list[str]:
    """The recorded guests and VMs that go with the whole stack, by number, and by name as the machines show them."""
    entries = _entries(state)
    known = _all_recorded(state, questions.of(state, [], ""))
    provided = {each.urn for each in known}
    # Steps made these, and leave what is somebody else's by now.
    nodes = [RecordedThing(vm.host, marks.VM, str(vmid), vm.urn) for vmid, vm in outer_vms.recorded(state).items()]
    there = [(each, thing) for each, thing in ownership.shown(known, looks) if thing is not None]
    there += [
        (each, thing)
        for each, thing in ownership.shown(nodes, looks)
        if thing is not None and thing.ours and each.urn not in provided
    ]
    guests = [(each, thing) for each, thing in there if each.kind in (marks.VM, marks.CONTAINER)]
    return sorted(thing.shown for each, thing in guests if not entries[each.urn].get("retainOnDelete"))


def _recorded(inventory: Inventory) -> Sequence[RecordedThing]:
    return _all_recorded(inventory.state, inventory.asked)


def _all_recorded(state: State, asked: questions.Questions) -> Sequence[RecordedThing]:
    """What the provider and the steps that make guests recorded."""
    steps = [
        RecordedThing(CLUSTER, marks.VM if isinstance(wanted, Template) else marks.CONTAINER, str(wanted.vmid), urn)
        for urn, (_, wanted) in asked.here.items()
        if isinstance(wanted, (Template, Container))
    ]
    return [*belongings.recorded(state), *steps]


def _with_registration(inventory: Inventory, urn: str) -> set[str]:
    """A resource; for a guest's VM or container, everything that is recorded of that guest."""
    entry: Mapping[str, Any] = inventory.entries.get(urn, {})
    parent = str(entry.get("parent", ""))
    if parent.split("::")[2:3] != [GUEST] or belongings.KINDS.get(str(entry.get("type"))) in _HA:
        return {urn} - {""}
    return {one for one, other in inventory.entries.items() if other.get("parent") == parent}
