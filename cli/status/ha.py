"""Findings about the HA manager, its agents and its guests, from a node with quorum. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.status.model import NO_ANSWER, Finding, votes_in
from cluster.motion import ON_ITS_WAY
from onnode.errors import StepError

if TYPE_CHECKING:
    from cli.status.look import NodeStatuses
    from cli.status.model import Wanted, WantedGuest
    from cluster.contract import Member
    from onnode.contract.health import Ha, HaService, Health

MAINTENANCE = "maintenance mode"
HA_DEAD = "old timestamp"
LATER = "wait a few minutes, then `make status` again; if it stays so, journalctl -u pve-ha-crm on the HA master"


def ha_findings(wanted: Wanted, health: Health, seen: NodeStatuses) -> list[Finding]:
    """The HA manager, its agents and its guests."""
    ha = health.ha
    if ha is None:
        fix = f"pvesh get /cluster/ha/status/current on {health.node}"
        return [Finding("cluster", f"{health.node} does not report the state of HA", fix)]
    if ha.master is None:
        found = [Finding("cluster", "HA has no master", "ha-manager status on a member")]
    else:
        found = [
            Finding(member.name, f"its HA agent (LRM) is {state}", "systemctl restart pve-ha-lrm there")
            for member in wanted.members
            if (HA_DEAD in (state := ha.lrm.get(member.name, "unknown")) or state == "unknown")
            and _should_run_agent(member, health, seen)
        ]
    return found + [finding for guest in wanted.guests for finding in _guest(guest, health, ha, seen)]


def in_maintenance(wanted: Wanted, health: Health) -> list[Finding]:
    """The nodes that HA gives no guests, since somebody asked for that: no fault."""
    agents = health.ha.lrm if health.ha else {}
    return [
        Finding(
            member.name, "is in maintenance: HA gives it no guests", f"to end that: make undrain NODE={member.name}"
        )
        for member in wanted.members
        if agents.get(member.name) == MAINTENANCE
    ]


def _should_run_agent(member: Member, health: Health, seen: NodeStatuses) -> bool:
    """Whether a dead agent is a finding of its own: not on a node that is off, does not vote, or does not run the service."""
    look = seen[member.name]
    runs = look.code not in NO_ANSWER if isinstance(look, StepError) else bool(look.health.services.get("pve-ha-lrm"))
    return runs and votes_in(health, member.name)


def _guest(guest: WantedGuest, health: Health, ha: Ha, seen: NodeStatuses) -> list[Finding]:
    service = ha.services.get(guest.sid)
    if service is None:
        return [Finding(guest.name, f"{guest.sid} is not under HA", "make up")]
    if passing := _passing(guest, service, health, seen):
        return [passing]
    found = []
    if service.state != guest.state:
        what = f"HA has {guest.sid} in state {service.state} on {service.node}, not {guest.state}"
        fix = (
            f"ha-manager set {guest.sid} --state disabled, fix, --state started"
            if service.state == "error"
            else "ha-manager status"
        )
        found.append(Finding(guest.name, what, f"{fix} (on a member)"))
    if guest.nodes and service.node not in guest.nodes:
        found.append(
            Finding(guest.name, f"runs on {service.node}, not on {' or '.join(guest.nodes)}", "ha-manager rules config")
        )
    place = seen.get(service.node or "")
    running = None if place is None or isinstance(place, StepError) else place.health.running_guests
    if guest.state == "started" and service.state == "started" and running is not None:
        vmid = int(guest.sid.partition(":")[2])
        if not any(entry.id == vmid and entry.status == "running" for entry in running):
            what = f"HA believes {guest.sid} started on {service.node}, but it does not run there"
            # HA shows `started` also for a guest that it is about to start, or to start again.
            fix = f"wait a minute, then `make status` again; if it stays so, journalctl -u pve-ha-lrm on {service.node}"
            found.append(Finding(guest.name, what, fix))
    return found


def _passing(guest: WantedGuest, service: HaService, health: Health, seen: NodeStatuses) -> Finding | None:
    """What HA does with a guest, or is about to do; on a dead node a guest is `started` until the node is to be fenced."""
    if doing := ON_ITS_WAY.get(service.state or ""):
        what = f"HA {doing} {service.node} (state {service.state})"
        return Finding(guest.name, what, f"it is on its way: {LATER}")
    place = seen.get(service.node or "")
    # Corosync takes seconds to notice a dead node: until then it has a vote, and only does not answer.
    silent = isinstance(place, StepError) and place.code in NO_ANSWER
    votes = votes_in(health, service.node or "")
    if service.state == "started" and (silent or not votes):
        absent = "does not answer" if votes else "is offline"
        what = f"is on {service.node}, which {absent} (HA state {service.state})"
        return Finding(guest.name, what, f"HA recovers it from a node that is down: {LATER}")
    return None
