"""What is not as described, in words, each with the command that comes next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from admin import formation
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin.desired import Member
    from admin.status.look import NodeSeen, Seen

UP = "make up"
SERVICES = ("corosync", "pve-cluster", "pveproxy")
HA_SERVICES = ("pve-ha-crm", "pve-ha-lrm", "watchdog-mux")
HA_DEAD = "old timestamp"


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
    """Everything that is not as described."""
    nodes = {name: look for name, look in seen.items() if not isinstance(look, StepError)}
    found = [
        _unreachable(member, look) for member in wanted.members if isinstance(look := seen[member.name], StepError)
    ]
    for member in wanted.members:
        if member.name in nodes:
            found += _node(wanted, member, nodes)
    found += _cluster(wanted, nodes)
    found += [finding for guest in wanted.guests for finding in _guest(guest, nodes)]
    return found


def _unreachable(member: Member, error: StepError) -> Finding:
    return Finding(member.name, f"{error.what} ({error.observed})" if error.observed else error.what, error.fix)


def _node(wanted: Wanted, member: Member, nodes: dict[str, NodeSeen]) -> list[Finding]:
    look = nodes[member.name]
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
    found += _links(wanted, member, nodes)
    found += [
        Finding(member.name, f"storage {storage} is not active", f"{ssh} pvesm status --storage {storage}")
        for storage in wanted.storages
        if not look.storages.get(storage)
    ]
    return found


def _links(wanted: Wanted, member: Member, nodes: dict[str, NodeSeen]) -> list[Finding]:
    """Links that this node sees broken; those to a node that is down say nothing new."""
    health = nodes[member.name].health
    connected = {(link.node_id, link.link) for link in health.links if link.connected}
    return [
        Finding(
            member.name,
            f"link {link.number} to {peer.name} ({link.address}) is not connected",
            f"ssh root@{member.address} corosync-cfgtool -n; check the bridge or cable of link {link.number}",
        )
        for peer in wanted.members
        if peer.name != member.name and peer.name in nodes and nodes[peer.name].health.services.get("corosync")
        for link in peer.links
        if (peer.node_id, link.number) not in connected
    ]


def _cluster(wanted: Wanted, nodes: dict[str, NodeSeen]) -> list[Finding]:
    """What the quorate part says of the cluster as a whole."""
    view = quorate_view(nodes)
    if view is None:
        return [Finding("cluster", f"{wanted.cluster} has no quorum on any node that answers", "power on its members")]
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
        Finding("cluster", f"{node.name} is a member and not described", "describe it under nodes in the stack file")
        for node in health.nodes
        if node.name not in described
    ]
    votes = sum(member.votes for member in wanted.members)
    if health.quorum and (health.quorum.expected, health.quorum.total) != (votes, votes):
        what = f"{health.quorum.total} of {health.quorum.expected} votes, described are {votes}"
        found.append(Finding("cluster", what, "bring the missing members up"))
    found += _priorities(wanted, view)
    return found + (_ha(wanted, view) if wanted.guests else [])


def _priorities(wanted: Wanted, view: NodeSeen) -> list[Finding]:
    described = {link.number: link.priority for link in wanted.members[0].links if link.priority is not None}
    return [
        Finding("cluster", f"link {number} has priority {view.health.priorities.get(number)}, not {priority}", UP)
        for number, priority in described.items()
        if view.health.priorities.get(number) != priority
    ]


def _ha(wanted: Wanted, view: NodeSeen) -> list[Finding]:
    ha = view.health.ha
    if ha is None or ha.master is None:
        return [Finding("cluster", "HA has no master", "ha-manager status on a member")]
    return [
        Finding(
            member.name,
            f"its HA agent (LRM) is {ha.lrm.get(member.name, 'unknown')}",
            "systemctl restart pve-ha-lrm there",
        )
        for member in wanted.members
        if HA_DEAD in (state := ha.lrm.get(member.name, "unknown")) or state == "unknown"
    ]


def _guest(guest: WantedGuest, nodes: dict[str, NodeSeen]) -> list[Finding]:
    view = quorate_view(nodes)
    ha = view.health.ha if view else None
    service = ha.services.get(guest.sid) if ha else None
    if service is None:
        return [Finding(guest.name, f"{guest.sid} is not under HA", UP)]
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
    place = nodes.get(service.node or "")
    running = place.health.running_guests if place else None
    if guest.state == "started" and service.state == "started" and running is not None:
        vmid = int(guest.sid.partition(":")[2])
        if not any(entry.id == vmid and entry.status == "running" for entry in running):
            what = f"HA believes {guest.sid} started on {service.node}, but it does not run there"
            found.append(Finding(guest.name, what, f"journalctl -u pve-ha-lrm on {service.node}"))
    return found


def quorate_view(nodes: dict[str, NodeSeen]) -> NodeSeen | None:
    """A node of the quorate part, whose word counts for the cluster."""
    return next((look for look in nodes.values() if look.health.works), None)


def names_of_running(look: NodeSeen) -> list[str]:
    """The guests that run on a node."""
    guests: Sequence[str] = [
        guest.name or str(guest.id) for guest in look.health.running_guests or [] if guest.status == "running"
    ]
    return list(guests)
