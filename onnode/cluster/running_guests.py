"""running-guests: the guests that run on this node, and whether and where else they could. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.cluster import guest_places, membership
from onnode.contract.documents import document
from onnode.contract.guests import RunningGuest, RunningGuests
from onnode.step import Step, act_never, decide_nothing
from onnode.system import pve

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

_PLACES = {"VM": ("vm", "/etc/pve/qemu-server"), "CT": ("ct", "/etc/pve/lxc")}


def observe(machine: ThisMachine, _desired: None) -> RunningGuests:
    """Ask which guests run, and read their configuration."""
    settings = guest_places.read(machine)
    found = []
    for shown in pve.running_guests(machine):
        word, _, vmid = shown.partition(" ")
        kind, directory = _PLACES[word]
        sid = f"{kind}:{vmid}"
        place = guest_places.judge(sid, machine.read(f"{directory}/{vmid}.conf") or "", settings)
        found.append(RunningGuest(sid, place.name or sid, settings.is_managed(sid), place.obstacles, place.nodes))
    return RunningGuests(membership.hostname(machine), found)


def facts(seen: RunningGuests, _desired: None) -> dict[str, Any]:
    """All of it."""
    return document(seen)


def unchanged(seen: RunningGuests, _desired: None) -> str:
    """Say what was found."""
    return f"{len(seen.guests)} guests run on {seen.node}"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="none")
