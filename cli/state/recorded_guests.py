"""Guests as they are recorded, beside those that are described: one that exists keeps its number and kind, and may get another name. Pure.

The engine knows a guest by its name. To it, another name is one guest that goes and one that comes, and another number a new guest and
the end of the old one, with its disks. So the record follows the name, and another number or kind is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.engine.failures import resource_name
from cli.state import changeover
from cluster import existing_guests, guests, marks
from cluster.errors import AdminError
from components.recorded import GUEST, GUEST_TEMPLATE, LOCAL_STEP, VM_TYPE
from config import topology
from config.model import ExistingGuest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cli.description import Description
    from cluster.marks import Look
    from config.model import Guest

State = dict[str, Any]
Number = tuple[str, int, bool]
VM, CONTAINER = "vm", "container"
SHOWN = {VM: marks.VM, CONTAINER: marks.CONTAINER}
GUESTS = tuple(SHOWN.values())
DISK = "-guest-disk"


@dataclass(frozen=True)
class RecordedGuest:
    """A guest that was made.

    Attributes:
        component: the URN of what groups its resources.
        name: as it was described.
        kind: what it is, VM or CONTAINER.
        disk_gib: as it was described; None where it was not.
        existing: the stack did not make it, and only looks after its HA.
    """

    component: str
    name: str
    kind: str
    vmid: int
    disk_gib: int | None = None
    existing: bool = False

    @property
    def number(self) -> Number:
        """What stays the same for its whole life."""
        return self.kind, self.vmid, self.existing

    @property
    def shown(self) -> str:
        """By its number."""
        return f"{SHOWN[self.kind]} {self.vmid}"


def read(state: State) -> list[RecordedGuest]:
    """The guests that a state records, as made or as under HA."""
    resources = [one for one in state["deployment"].get("resources") or [] if not one.get("delete")]
    disks = {one["parent"]: _given(one)["disk_gib"] for one in resources if _is_of_guest(one, DISK)}
    return [found for one in resources if (found := _guest(one, disks))]


def _guest(entry: State, disks: Mapping[str, int]) -> RecordedGuest | None:
    if _is_of_guest(entry, "-container"):
        given = _given(entry)
        return RecordedGuest(entry["parent"], _name(entry), CONTAINER, int(given["vmid"]), int(given["disk_gib"]))
    if _is_of_guest(entry, "-existing-guest"):
        given = _given(entry)
        return RecordedGuest(entry["parent"], _name(entry), str(given["type"]), int(given["vmid"]), existing=True)
    if entry["type"] == VM_TYPE and _parent_type(entry) == GUEST and "vmId" in (entry.get("inputs") or {}):
        vmid = int(entry["inputs"]["vmId"])
        return RecordedGuest(entry["parent"], _name(entry), VM, vmid, disks.get(entry["parent"]))
    return None


def _is_of_guest(entry: State, ending: str) -> bool:
    return entry["type"] == LOCAL_STEP and _parent_type(entry) == GUEST and entry["urn"].endswith(ending)


def _parent_type(entry: State) -> str:
    return str(entry.get("parent", "")).rpartition("::")[0].rpartition("::")[2].rpartition("$")[2]


def _name(entry: State) -> str:
    return resource_name(entry["parent"])


def _given(entry: State) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry["inputs"]["stdin"])
    return found


def refuse_others(description: Description, state: State, looks: Iterable[Look]) -> None:
    """Refuse a guest or template that would be made anew, and a disk that would have to shrink. What is gone, or not ours, counts no more.

    Args:
        description: what is wanted.
        state: what is recorded.
        looks: of nodes; where none knows the cluster, the record counts.

    Raises:
        AdminError: guest-changed, guest-differs.
    """
    there = {thing.name: thing.ours for look in looks if look.cluster for thing in look.things if thing.kind in GUESTS}
    recorded = read(state)
    known = {guest.name: guest for guest in recorded if guest.existing or there.get(str(guest.vmid), not there)}
    pairs = [(guest, known[guest.name]) for guest in description.config.guests if guest.name in known]
    _refuse_another_origin(description, known.values())
    _refuse_another_template(description, state, there)
    if others := [(guest, was) for guest, was in pairs if _number(guest) != was.number]:
        guest, was = others[0]
        if was.existing:
            raise existing_guests.another(was.name, was.shown, f"{SHOWN[topology.guest_type(guest)]} {guest.vmid}")
        raise guests.changed(
            "; ".join(f"{guest.name} is {was.shown}" for guest, was in others),
            ", ".join(f"{guest.name} {SHOWN[topology.guest_type(guest)]} {guest.vmid}" for guest, _ in others),
        )
    smaller = [
        (guest, was.disk_gib, guest.disk_gib)
        for guest, was in pairs
        if not isinstance(guest, ExistingGuest)
        and guest.disk_gib is not None
        and was.disk_gib is not None
        and guest.disk_gib < was.disk_gib
    ]
    if smaller:
        raise AdminError(
            "guest-differs",
            "a disk would have to shrink, and Proxmox VE only enlarges disks",
            observed=", ".join(f"{guest.name} has {was} GiB" for guest, was, _ in smaller),
            expected=", ".join(f"{guest.name}: {wanted} GiB" for guest, _, wanted in smaller),
            fix="set diskGib back in the stack file",
        )


def _refuse_another_template(description: Description, state: State, there: Mapping[str, bool]) -> None:
    """Refuse a template under another name: what is made anew comes first, and finds it; what goes then destroys it."""
    resources = [one for one in state["deployment"].get("resources") or [] if not one.get("delete")]
    made = [one for one in resources if one["type"] == LOCAL_STEP and _parent_type(one) == GUEST_TEMPLATE]
    recorded = {int(_given(one)["vmid"]): _name(one) for one in made}
    for template in description.config.templates:
        was = recorded.get(template.vmid)
        if was not in (None, template.name) and there.get(str(template.vmid), not there):
            raise guests.template_changed(f"{was} is VM {template.vmid}", f"{template.name} {template.vmid}")


def _number(guest: Guest) -> Number:
    return topology.guest_type(guest), guest.vmid, isinstance(guest, ExistingGuest)


def _refuse_another_origin(description: Description, known: Iterable[RecordedGuest]) -> None:
    """Refuse a guest of the stack as one that exists, and the other way round: the end of its record would take HA from it, or destroy it."""
    recorded = {guest.vmid: guest for guest in known}
    for guest in description.config.guests:
        was = recorded.get(guest.vmid)
        if was is None or was.existing == isinstance(guest, ExistingGuest):
            continue
        raise existing_guests.other_origin(was.name, was.shown, made=not was.existing)


def renamed(description: Description, state: State) -> tuple[State, list[str]]:
    """The state in which guests have the names that they are described with now, and what was renamed, in words."""
    names = dict(_names(description, state))
    if not names:
        return state, []
    urns = {
        entry["urn"]: f"{entry['urn'].rpartition('::')[0]}::{new}{resource_name(entry['urn']).removeprefix(old.name)}"
        for old, new in names.items()
        for entry in state["deployment"]["resources"]
        if old.component in (entry["urn"], entry.get("parent"))
    }
    # A run of the engine that did not know of the new name, and was refused, has recorded the group for it.
    kept = [entry for entry in state["deployment"]["resources"] if entry["urn"] not in urns.values()]
    resources = changeover.renamed(kept, urns)
    words = [f"{old.shown}: {old.name} → {new}" for old, new in names.items()]
    return {**state, "deployment": {**state["deployment"], "resources": resources}}, words


def _names(description: Description, state: State) -> Iterator[tuple[RecordedGuest, str]]:
    known = read(state)
    taken = {guest.name for guest in known}
    described = {_number(guest): guest.name for guest in description.config.guests}
    still = set(described.values())
    for guest in known:
        new = described.get(guest.number)
        if new is not None and new not in taken and guest.name not in still:
            yield guest, new
