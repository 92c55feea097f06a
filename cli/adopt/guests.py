"""The guests of a live cluster as a stack file describes them: those that HA looks after, with HA's own settings. Pure.

A guest is described only if the first run has nothing to do for it: what that run would decide is asked here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import existing_guests
from cluster.contract import ApiAccess, ExistingGuest, Machine
from cluster.errors import AdminError
from config.model import Ha
from onnode.cluster.guest_places import Place
from onnode.system import pve

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cli.adopt.found import Found
    from cluster.existing_guests import Guest, Seen
    from onnode.contract.inventory import FoundGuest, Inventory

TYPES = {"vm": "vm", "ct": "container"}
STATES = ("started", "stopped")
TRIES_MAX = 10
PRIORITY_MAX = 1000


@dataclass(frozen=True)
class Guests:
    """The guests of a stack file.

    Attributes:
        described: with the keys of the stack file.
        left_out: what is not described, in words.
    """

    described: list[dict[str, Any]]
    left_out: list[str]


class _NotDescribableError(Exception):
    """Why a guest is left out, in words."""


def counted(first: Inventory) -> list[str]:
    """What is left out, if no guests were asked for."""
    numbers = [
        (len(first.guests), "guest"),
        (len(pve.parse_sections(first.resources)), "HA resource"),
        (len(pve.parse_sections(first.rules)) + len(pve.parse_sections(first.groups)), "HA rule or group"),
    ]
    shown = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in numbers if count)
    return [f"{shown}: GUESTS=1 describes the guests that HA looks after"] if shown else []


def of_cluster(found: Found, nodes: Sequence[str], stack: str) -> Guests:
    """Describe the guests of a cluster.

    Args:
        found: all its members.
        nodes: their names, in the order of the stack file.
        stack: the name of the new stack.
    """
    first = found.members[found.first]
    guests = [_guest(one) for one in first.guests]
    seen = existing_guests.under_ha(guests, first.resources, first.rules, first.groups)
    names = _names(guests)
    cluster = _Cluster(seen, found, nodes, first.pve_major, stack)
    result = Guests([], [])
    for one, guest in zip(first.guests, guests, strict=True):
        try:
            result.described.append(_described(cluster, one, guest, names[guest.vmid]))
        except _NotDescribableError as why:
            result.left_out.append(f"{'template' if guest.template else 'guest'} {guest.shown}: {why}")
    under_ha = [
        sid for sid in seen.resources if int(sid.partition(":")[2]) in {one["vmid"] for one in result.described}
    ]
    used = [existing_guests.placement_of(sid, seen) for sid in under_ha]
    rules = [*pve.parse_sections(first.rules), *pve.parse_sections(first.groups)]
    result.left_out.extend(f"HA {one.type} {one.id}: it stays as it is" for one in rules if one not in used)
    return result


@dataclass(frozen=True)
class _Cluster:
    seen: Seen
    found: Found
    nodes: Sequence[str]
    pve_major: int
    stack: str


def _guest(one: FoundGuest) -> Guest:
    place = Place(one.name, one.obstacles, one.nodes)
    return existing_guests.Guest(
        TYPES[one.kind], one.id, one.node, one.name, tuple(one.tags), template=one.template, place=place
    )


def _names(guests: Collection[Guest]) -> dict[int, str]:
    """A name for each, which no other one has."""
    plain = {guest.vmid: existing_guests.names(guest.name, guest.vmid) for guest in guests}
    count = Counter(name for name, _ in plain.values())
    return {vmid: name if count[name] == 1 else numbered for vmid, (name, numbered) in plain.items()}


def _described(cluster: _Cluster, one: FoundGuest, guest: Guest, name: str) -> dict[str, Any]:
    """The keys of one guest.

    Raises:
        _NotDescribableError: it is left out.
    """
    if pve.owned(one.tags, cluster.stack):
        raise _NotDescribableError("it has this stack's mark; describe it as it was")
    if guest.template:
        raise _NotDescribableError("HA runs no templates")
    sid = f"{one.kind}:{one.id}"
    if sid not in cluster.seen.resources:
        raise _NotDescribableError("HA does not look after it; described with kind: existing, it is put under HA")
    ha = _ha(cluster, sid)
    wanted = ExistingGuest(
        members=[Machine(node, "", "") for node in cluster.nodes],
        api=ApiAccess("", "", ""),
        stack_tag=pve.stack_tag(cluster.stack),
        pve_major=cluster.pve_major,
        type=guest.kind,
        vmid=guest.vmid,
        name=name,
        **{key: getattr(ha, key) for key in ("state", "max_restart", "max_relocate", "failback", "nodes", "strict")},
    )
    try:
        existing_guests.acts(wanted, cluster.seen)
    except AdminError as error:
        raise _NotDescribableError(f"{error.what}: {error.observed.removeprefix(f'{guest.shown}: ')}") from None
    settings = ha.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {
        "name": name,
        "kind": "existing",
        "type": guest.kind,
        "vmid": guest.vmid,
        "memoryMib": one.memory_mib,
        **({"ha": settings} if settings else {}),
    }


def _ha(cluster: _Cluster, sid: str) -> Ha:
    """The settings that HA has for it.

    Raises:
        _NotDescribableError: a stack file cannot say them.
    """
    resource, placement = cluster.seen.resources[sid], existing_guests.placement_of(sid, cluster.seen)
    state = existing_guests.value(resource, "state")
    if state not in STATES:
        raise _NotDescribableError(f"HA has it as {state}, and a stack file says {' or '.join(STATES)}")
    tries = {key: int(existing_guests.value(resource, key)) for key in ("max_restart", "max_relocate")}
    if max(tries.values()) > TRIES_MAX:
        raise _NotDescribableError(f"max_restart or max_relocate is above {TRIES_MAX}")
    nodes = existing_guests.priorities(placement) if placement else {}
    if unknown := sorted(set(nodes) - set(cluster.nodes)):
        raise _NotDescribableError(f"its HA rule or group names {', '.join(unknown)}, which is no member")
    if not all(1 <= number <= PRIORITY_MAX for number in nodes.values()):
        nodes = {name: rank + 1 for name, rank in existing_guests.ranks(nodes).items()}
    failback = existing_guests.value(resource, "failback") == "1"
    if placement is not None and placement.type == existing_guests.GROUP:
        failback = placement.values.get("nofailback", "0") == "0"
    strict = placement is not None and existing_guests.is_strict(placement)
    return Ha.model_validate(
        {"state": state, **tries, "failback": failback, "nodes": nodes, "strict": strict}, by_name=True
    )
