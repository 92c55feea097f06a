"""What is not as described, in words, each with the command that comes next. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING

from admin import formation
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin.desired import Member
    from admin.facts import Ha, HaService, Health
    from admin.status.look import NodeSeen, Seen

UP = "make up"
# The commands that take a stack; the Makefile's default needs not be named.
MAKE = re.compile(r"\bmake (?:up|preview|status|shell|down)\b")
DEFAULT_STACK = "dev"
SERVICES = ("corosync", "pve-cluster", "pveproxy")
HA_SERVICES = ("pve-ha-crm", "pve-ha-lrm", "watchdog-mux")
HA_DEAD = "old timestamp"
# Why a node says nothing at all; one that refuses a key, say, is up.
SILENT = ("host-unreachable", "ssh-timeout")
# What HA does about a guest in a state that does not last (pve-ha-manager: Manager.pm, Tools.pm).
ON_ITS_WAY = {
    "queued": "has yet to take it up on",
    "request_start": "is starting it on",
    "request_start_balance": "is starting it on",
    "starting": "is starting it on",
    "request_stop": "is stopping it on",
    "stopping": "is stopping it on",
    "migrate": "is moving it from",
    "relocate": "is moving it from",
    "fence": "is recovering it from",
    "recovery": "is recovering it from",
    "freeze": "keeps it frozen until the agent (LRM) is back on",
}
LATER = "wait a few minutes, then `make status` again; if it stays so, journalctl -u pve-ha-crm on the HA master"


@dataclass(frozen=True)
class WantedGuest:
    """A guest under HA as described."""

    name: str
    sid: str
    state: str
    nodes: list[str]  # allowed; empty: any


@dataclass(frozen=True)
class Wanted:
    """All that is looked for."""

    stack: str
    cluster: str
    pve_major: int
    members: list[Member]
    storages: list[str]
    guests: list[WantedGuest]


@dataclass(frozen=True)
class Finding:
    """Something that is not as described.

    Attributes:
        where: a node's name, a guest's, or `cluster`.
        what: what was found.
        next: the command, or the act, that comes next.
    """

    where: str
    what: str
    next: str


def findings(wanted: Wanted, seen: Seen) -> list[Finding]:
    """Everything that is not as described. What nobody could tell is not found: why a node says nothing is."""
    nodes = {name: look for name, look in seen.items() if not isinstance(look, StepError)}
    found = [
        _unreachable(member, look) for member in wanted.members if isinstance(look := seen[member.name], StepError)
    ]
    for member in wanted.members:
        if member.name in nodes:
            found += _node(wanted, member, nodes[member.name])
    found += _links(wanted, nodes)
    found += _cluster(wanted, seen, nodes)
    return [replace(finding, next=_of_stack(wanted.stack, finding.next)) for finding in found]


def _of_stack(stack: str, step: str) -> str:
    """The next step with the stack's name in its make commands: those of errors, too, which know of no stack."""
    return step if stack == DEFAULT_STACK else MAKE.sub(rf"\g<0> STACK={stack}", step)


def _unreachable(member: Member, error: StepError) -> Finding:
    return Finding(member.name, f"{error.what} ({error.observed})" if error.observed else error.what, error.fix)


def _node(wanted: Wanted, member: Member, look: NodeSeen) -> list[Finding]:
    health = look.health
    ssh = f"ssh root@{member.address}"
    if health.node != member.name:
        return [Finding(member.name, f"the machine calls itself {health.node}", f"{ssh} hostnamectl")]
    if health.state != "member" or health.cluster != wanted.cluster:
        place = f"in cluster {health.cluster}" if health.cluster not in (None, wanted.cluster) else ""
        return [Finding(member.name, place or formation.working(health), UP)]
    found = []
    if not health.pve_version.startswith(f"{wanted.pve_major}."):
        found.append(
            Finding(member.name, f"runs Proxmox VE {health.pve_version}, not {wanted.pve_major}", "set pveMajor")
        )
    if not health.quorate:
        found.append(Finding(member.name, "is not quorate", f"{ssh} pvecm status"))
    if not health.pve_writable:
        found.append(Finding(member.name, "/etc/pve is read-only", f"{ssh} systemctl restart pve-cluster"))
    if not look.api:
        found.append(
            Finding(member.name, "its API does not answer with its certificate", f"{ssh} systemctl restart pveproxy")
        )
    wanted_services = (*SERVICES, *HA_SERVICES) if wanted.guests else SERVICES
    found += [
        Finding(member.name, f"{service} does not run", f"{ssh} systemctl restart {service}")
        for service in wanted_services
        if not health.services.get(service)
    ]
    if wanted.guests and health.watchdog is not None and not (health.watchdog.device and health.watchdog.socket):
        found.append(Finding(member.name, "has no working watchdog", f"{ssh} systemctl restart watchdog-mux"))
    found += [
        Finding(member.name, f"storage {storage} is not active", f"{ssh} pvesm status --storage {storage}")
        for storage in wanted.storages
        if not look.storages.get(storage)
    ]
    return found


def _joined(wanted: Wanted, nodes: dict[str, NodeSeen]) -> list[Member]:
    """The nodes that take themselves for what is described: members of this cluster."""
    return [
        member
        for member in wanted.members
        if (look := nodes.get(member.name))
        and (look.health.node, look.health.state, look.health.cluster) == (member.name, "member", wanted.cluster)
    ]


def _links(wanted: Wanted, nodes: dict[str, NodeSeen]) -> list[Finding]:
    """Broken links between members; those to and from a node that is down say nothing new."""
    members = [member for member in _joined(wanted, nodes) if nodes[member.name].health.services.get("corosync")]
    numbers = sorted({link.number for member in members for link in member.links})
    return [finding for number in numbers for finding in _link(number, members, nodes)]


def _link(number: int, members: Sequence[Member], nodes: dict[str, NodeSeen]) -> list[Finding]:
    """One finding for what has one cause: the link's switch, a node's end of it, or a pair."""
    pairs = list(combinations(members, 2))
    seen_from = ([ends for ends in permutations(pair, 2) if _sees_cut(number, *ends, nodes)] for pair in pairs)
    broken = [ends[0] for ends in seen_from if ends]
    if len(broken) == len(pairs) > 1:
        fix = f"check the switch of link {number}; corosync-cfgtool -n on a member"
        return [Finding("cluster", f"link {number} connects no two members", fix)]
    # A pair's two ends are alike: only with a third member there is an end that has lost it.
    lost = [member for member in members if sum(member in pair for pair in broken) == len(members) - 1 > 1]
    found = [
        Finding(member.name, f"has lost link {number} to every other member", _check_link(number, member))
        for member in lost
    ]
    return found + [
        Finding(near.name, f"link {number} to {far.name} ({link.address}) is not connected", _check_link(number, near))
        for near, far in broken
        if near not in lost and far not in lost
        for link in far.links
        if link.number == number
    ]


def _sees_cut(number: int, member: Member, peer: Member, nodes: dict[str, NodeSeen]) -> bool:
    links = nodes[member.name].health.links
    return not any((link.node_id, link.link) == (peer.node_id, number) and link.connected for link in links)


def _check_link(number: int, member: Member) -> str:
    return f"ssh root@{member.address} corosync-cfgtool -n; check the bridge or cable of link {number}"


def _cluster(wanted: Wanted, seen: Seen, nodes: dict[str, NodeSeen]) -> list[Finding]:
    """What the quorate part says of the cluster as a whole, and of the guests."""
    view = quorate_view(nodes)
    if view is None:
        # Where no node takes itself for a member there is none to ask; why, each node's own finding says.
        what = f"{wanted.cluster} has no quorum on any node that answers"
        return [Finding("cluster", what, "power on its members")] if _joined(wanted, nodes) else []
    health = view.health
    found: list[Finding] = []
    for member in wanted.members:
        listed = health.listed(member.name)
        if listed is None:
            found.append(Finding("cluster", f"{member.name} is not a member", UP))
        elif listed != formation.described(member):
            now, then = formation.shown(listed), formation.shown(formation.described(member))
            found.append(Finding("cluster", f"{now}; described is {then}", "put these values into the stack file"))
    described = {member.name for member in wanted.members}
    found += [
        Finding(
            "cluster",
            f"{node.name} is a member and not described",
            f"describe {node.name} under nodes in the stack file; "
            "to remove it from the cluster, follow docs/recovery.md#member-unknown",
        )
        for node in health.nodes
        if node.name not in described
    ]
    found += _votes(wanted, health, seen)
    found += _priorities(wanted, view)
    return found + (_ha(wanted, health, seen) if wanted.guests else [])


def _votes(wanted: Wanted, health: Health, seen: Seen) -> list[Finding]:
    """Votes that differ for no reason told elsewhere: a node that is off, or not described, has a finding of its own."""
    if health.quorum is None:
        return []
    quorum, votes = health.quorum, sum(node.votes for node in health.nodes)
    found = []
    if quorum.expected != votes:
        what = f"expected votes are {quorum.expected}, those of its members {votes}"
        found.append(Finding("cluster", what, f"pvecm status on a member; without a QDevice: pvecm expected {votes}"))
    return found + [
        Finding(
            "cluster",
            f"{quorum.total} of {quorum.expected} votes, that of {member.name} is missing",
            f"ssh root@{member.address} pvecm status",
        )
        for member in wanted.members
        if health.listed(member.name) and not _votes_in(health, member.name) and _is_unexplained(wanted, member, seen)
    ]


def _votes_in(health: Health, name: str) -> bool:
    """Whether that node takes part in the vote, as the quorate part sees it."""
    listed = health.listed(name)
    return listed is not None and listed.id in health.voters


def _is_unexplained(wanted: Wanted, member: Member, seen: Seen) -> bool:
    """Whether nothing that the node shows, or its silence, says why it does not vote."""
    look = seen[member.name]
    if isinstance(look, StepError):
        return look.code not in SILENT
    return look.health.quorate and member in _joined(wanted, {member.name: look})


def _priorities(wanted: Wanted, view: NodeSeen) -> list[Finding]:
    described = {link.number: link.priority for link in wanted.members[0].links if link.priority is not None}
    return [
        Finding("cluster", f"link {number} has priority {view.health.priorities.get(number)}, not {priority}", UP)
        for number, priority in described.items()
        if view.health.priorities.get(number) != priority
    ]


def _ha(wanted: Wanted, health: Health, seen: Seen) -> list[Finding]:
    """The HA manager, its agents and its guests."""
    ha = health.ha
    if ha is None:
        fix = f"pvesh get /cluster/ha/status/current on {health.node}"
        return [Finding("cluster", f"{health.node} does not tell the state of HA and its guests", fix)]
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


def _should_run_agent(member: Member, health: Health, seen: Seen) -> bool:
    """Whether a dead agent is news: not on a node that is off or outside the cluster, or whose service does not run."""
    look = seen[member.name]
    runs = look.code not in SILENT if isinstance(look, StepError) else bool(look.health.services.get("pve-ha-lrm"))
    return runs and _votes_in(health, member.name)


def _guest(guest: WantedGuest, health: Health, ha: Ha, seen: Seen) -> list[Finding]:
    service = ha.services.get(guest.sid)
    if service is None:
        return [Finding(guest.name, f"{guest.sid} is not under HA", UP)]
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
            # HA says `started` of a guest that it is only about to start, or to start anew, too.
            fix = f"wait a minute, then `make status` again; if it stays so, journalctl -u pve-ha-lrm on {service.node}"
            found.append(Finding(guest.name, what, fix))
    return found


def _passing(guest: WantedGuest, service: HaService, health: Health, seen: Seen) -> Finding | None:
    """What HA does with a guest, or is about to: on a dead node it has it `started` until that is to be fenced."""
    if doing := ON_ITS_WAY.get(service.state or ""):
        what = f"HA {doing} {service.node} (state {service.state})"
        return Finding(guest.name, what, f"it is on its way: {LATER}")
    place = seen.get(service.node or "")
    # Corosync takes seconds to miss a node: until then it votes, and only its silence tells.
    silent = isinstance(place, StepError) and place.code in SILENT
    votes = _votes_in(health, service.node or "")
    if service.state == "started" and (silent or not votes):
        absent = "does not answer" if votes else "is offline"
        what = f"is on {service.node}, which {absent} (HA state {service.state})"
        return Finding(guest.name, what, f"HA recovers it from a node that is down: {LATER}")
    return None


def quorate_view(nodes: dict[str, NodeSeen]) -> NodeSeen | None:
    """A node of the quorate part, whose word counts for the cluster."""
    return next((look for look in nodes.values() if look.health.works), None)


def names_of_running(look: NodeSeen) -> list[str]:
    """The guests that run on a node."""
    guests: Sequence[str] = [
        guest.name or str(guest.id) for guest in look.health.running_guests or [] if guest.status == "running"
    ]
    return list(guests)
