"""Findings: what is not as described, in words, each with the next command. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from cli.drift.kinds import ADDED, BY_HAND, CONFIGURATION, FOREIGN, MEMBERSHIP, OFF, PASSING, SILENT, UNDESCRIBED
from cli.drift.model import ADDRESS_DOWN
from cli.status.ha import ha_findings, in_maintenance
from cli.status.links import broken_links
from cli.status.model import NO_ANSWER, Finding, joined, votes_in
from cluster import formation
from onnode.cluster import corosync
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from ipaddress import IPv4Address

    from cli.drift.model import Drift
    from cli.status.look import NodeStatus, NodeStatuses
    from cli.status.model import Wanted
    from cluster.contract import Member
    from onnode.cluster.corosync import Device
    from onnode.contract.health import Health

UP = "make up"
AS_DESCRIBED = "make up, which puts the described values back; to keep these, put them into the stack file first"
# Commands that take a stack; the Makefile's default stack need not be named.
MAKE = re.compile(r"\bmake (?:up|preview|status|shell|down|drain|undrain|reboot|upgrade)\b")
UNDESCRIBED_DEVICE = (
    "describe it under cluster.qdevice in the stack file; or `pvecm qdevice remove` on a member, then make up"
)
DEFAULT_STACK = "dev"
SERVICES = ("corosync", "pve-cluster", "pveproxy")
HA_SERVICES = ("pve-ha-crm", "pve-ha-lrm", "watchdog-mux")


def findings(
    wanted: Wanted, seen: NodeStatuses, drifted: Collection[Drift] = (), unrecorded: Collection[str] = ()
) -> list[Finding]:
    """Everything that is not as described. A node that does not answer is a finding; what it would have answered is not.

    Args:
        wanted: what is described.
        seen: what the nodes show.
        drifted: what explains it: nodes that are off, and addresses that are not up.
        unrecorded: the nodes whose VM is not recorded: nobody can power them on.
    """
    nodes = {name: look for name, look in seen.items() if not isinstance(look, StepError)}
    off = {one.where: one.what for one in drifted if one.kind == OFF}
    found = [
        _unreachable(member.name, look, off.get(member.name), is_made=member.name not in unrecorded)
        for member in wanted.members
        if isinstance(look := seen[member.name], StepError)
    ]
    down = {one.where: one for one in drifted if one.code == ADDRESS_DOWN}
    ends = [(member.name, number) for member in wanted.members for number in _down_links(member, down)]
    for member in wanted.members:
        if member.name in nodes:
            found += _lost(member, down)
            found += _node(wanted, member, nodes[member.name], _addresses_in(down.get(member.name)))
    found += broken_links(wanted, nodes, ends)
    found += _cluster(wanted, seen, nodes, off)
    return [replace(finding, next=_of_stack(wanted.stack, finding.next)) for finding in found]


def behind_ones_back(stack: str, drifted: Iterable[Drift], found: Sequence[Finding]) -> list[Finding]:
    """What drifted, as findings; without what follows from a finding about the whole node."""
    named = {finding.where for finding in found}
    return [
        Finding(one.where, one.what, _of_stack(stack, one.next if one.kind in (*BY_HAND, SILENT, UNDESCRIBED) else UP))
        for one in drifted
        if one.kind not in (*ADDED, PASSING)
        and not (one.kind in (MEMBERSHIP, CONFIGURATION, OFF, SILENT) and one.where in named)
        and not (
            one.code == ADDRESS_DOWN and any(one.where == other.where and one.what in other.what for other in found)
        )
    ]


def passing(drifted: Iterable[Drift]) -> list[Finding]:
    """What passes by itself: it gets a line, and is no finding."""
    return [Finding(one.where, one.what, one.next) for one in drifted if one.kind == PASSING]


def asked_for(wanted: Wanted, seen: NodeStatuses) -> list[Finding]:
    """What somebody wanted so for a while: it gets a line, and is no finding, either."""
    view = quorate_view({name: look for name, look in seen.items() if not isinstance(look, StepError)})
    found = in_maintenance(wanted, view.health) if view else []
    return [replace(one, next=_of_stack(wanted.stack, one.next)) for one in found]


def under_silence(seen: NodeStatuses, hosts: Mapping[str, str]) -> list[str]:
    """The outer hosts of nodes that do not answer; `hosts` has the host of each nested node."""
    silent = [name for name, look in seen.items() if isinstance(look, StepError) and look.code in NO_ANSWER]
    return list(dict.fromkeys(hosts[name] for name in silent if name in hosts))


def beneath(found: Sequence[Finding], silent: Mapping[str, StepError], hosts: Mapping[str, str]) -> list[Finding]:
    """The findings, with outer hosts that do not answer first: their nodes come back with them."""
    named = [Finding(name, _with_reason(error), error.fix) for name, error in silent.items()]
    return named + [
        replace(one, next=f"bring back {hosts[one.where]} first: {one.where} is a VM on it")
        if hosts.get(one.where) in silent
        else one
        for one in found
    ]


def without_taken(wanted: Wanted, drifted: Iterable[Drift]) -> Wanted:
    """What to look for, without guests whose number somebody else has: what HA does with those does not matter here."""
    taken = {one.where for one in drifted if one.kind == FOREIGN}
    return replace(wanted, guests=[guest for guest in wanted.guests if guest.name not in taken])


def _of_stack(stack: str, step: str) -> str:
    """The next step, with the stack's name in its make commands; errors do not know the stack."""
    return step if stack == DEFAULT_STACK else MAKE.sub(rf"\g<0> STACK={stack}", step)


def _unreachable(name: str, error: StepError, off: str | None, *, is_made: bool) -> Finding:
    if off is not None:
        return Finding(name, off, UP)
    if error.code in NO_ANSWER and not is_made:
        return Finding(name, f"{_with_reason(error)}; its VM is not recorded here", UP)
    return Finding(name, _with_reason(error), error.fix)


def _addresses_in(down: Drift | None) -> list[IPv4Interface]:
    """The addresses that a node's check found not up."""
    return [IPv4Interface(text) for text in down.addresses] if down else []


def _down_links(member: Member, down: Mapping[str, Drift]) -> list[int]:
    addresses = {str(one.ip) for one in _addresses_in(down.get(member.name))}
    return [link.number for link in member.links if link.address in addresses]


def _lost(member: Member, down: Mapping[str, Drift]) -> list[Finding]:
    """The links that a node has lost because its own address is not up: with the cause, and without what follows."""
    if not (numbers := _down_links(member, down)):
        return []
    links = f"link{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
    return [Finding(member.name, f"has lost {links}: {down[member.name].what}", down[member.name].next)]


def _with_reason(error: StepError) -> str:
    return f"{error.what} ({error.observed})" if error.observed else error.what


def _node(wanted: Wanted, member: Member, look: NodeStatus, down: Sequence[IPv4Interface]) -> list[Finding]:
    health = look.health
    ssh = f"ssh root@{member.address}"
    if health.node != member.name:
        return [Finding(member.name, f"its host name is {health.node}", f"{ssh} hostnamectl")]
    if health.state == "half" and not health.pve_mounted:
        return [Finding(member.name, formation.working(health), f"{ssh} systemctl restart pve-cluster")]
    if health.state != "member" or health.cluster != wanted.cluster:
        place = f"in cluster {health.cluster}" if health.cluster not in (None, wanted.cluster) else ""
        return [Finding(member.name, place or formation.working(health), UP)]
    found = []
    if not health.pve_version.startswith(f"{wanted.pve_major}."):
        found.append(
            Finding(member.name, f"runs Proxmox VE {health.pve_version}, not {wanted.pve_major}", "set pveMajor")
        )
    if health.works != health.quorate:  # without quorum it is read-only by itself
        found.append(Finding(member.name, "/etc/pve is read-only", f"{ssh} systemctl restart pve-cluster"))
    if not look.api:
        found.append(
            Finding(member.name, "its API does not answer with its certificate", f"{ssh} systemctl restart pveproxy")
        )
    wanted_services = (*SERVICES, *HA_SERVICES) if wanted.guests else SERVICES
    found += [
        Finding(member.name, f"{service} does not run", _restart(member, health, service))
        for service in wanted_services
        if not health.services.get(service)
    ]
    if wanted.guests and health.watchdog is not None and not (health.watchdog.device and health.watchdog.socket):
        found.append(Finding(member.name, "has no working watchdog", _restart(member, health, "watchdog-mux")))
    found += [
        Finding(member.name, f"storage {storage} is not active", f"{ssh} pvesm status --storage {storage}")
        for storage in wanted.storages
        if not look.storages.get(storage) and not _is_behind(wanted.servers.get(storage), down)
    ]
    return found


def _is_behind(server: IPv4Address | None, down: Sequence[IPv4Interface]) -> bool:
    """Whether a storage's server is in the network of an address that is not up: that is the cause, and has a finding."""
    return server is not None and any(server in one.network for one in down)


def _cluster(wanted: Wanted, seen: NodeStatuses, nodes: dict[str, NodeStatus], off: Collection[str]) -> list[Finding]:
    """Findings about the cluster as a whole and its guests, from a node with quorum."""
    view = quorate_view(nodes)
    if view is None:
        return _without_quorum(wanted, nodes, off)
    health = view.health
    doubled = corosync.doubled_ids(health.nodes)
    found = _cut_off(wanted, nodes) + _doubled(health)
    for member in wanted.members:
        listed = health.listed(member.name)
        if listed is None:
            found.append(Finding("cluster", f"{member.name} is not a member", UP))
        elif listed != formation.described(member):
            now, then = formation.shown(listed), formation.shown(formation.described(member))
            found.append(Finding("cluster", f"{now}; the stack file has {then}", AS_DESCRIBED))
    described = {member.name for member in wanted.members}
    found += [
        Finding(
            "cluster",
            f"{node.name} is a member, and not in the stack file",
            f"to keep it, add {node.name} to nodes in the stack file; otherwise `make up`, which takes out a node that this stack "
            "described before, and refuses any other: docs/recovery.md#member-unknown",
        )
        for node in health.nodes
        if node.name not in described and not doubled  # removing one of the two would remove the other, too
    ]
    found += [] if doubled else _votes(wanted, health, seen)
    found += _qdevice(wanted, nodes, health)
    found += _priorities(wanted, view)
    return found + (ha_findings(wanted, health, seen) if wanted.guests else [])


def _without_quorum(wanted: Wanted, nodes: dict[str, NodeStatus], off: Collection[str]) -> list[Finding]:
    """The finding that there is no quorum; none if no node is a member, for which each node has its own finding.

    Nodes that are off are started first: what is still missing after that has a step of its own.
    """
    looks = {member.name: nodes[member.name].health for member in joined(wanted, nodes)}
    if not looks:
        return []
    most = max(looks.values(), key=lambda look: look.quorum.total if look.quorum else 0)
    how = corosync.votes(most.nodes, most.quorum) if most.quorum else "corosync runs on none of them"
    step = UP if off else formation.bring_back(looks, _addresses(wanted))
    step = step.removesuffix("; then run the same command again")
    what = f"{wanted.cluster} has no quorum on any node that answers: {how}"
    return [Finding("cluster", what, step or f"ssh root@{wanted.members[0].address} pvecm status"), *_doubled(most)]


def _cut_off(wanted: Wanted, nodes: dict[str, NodeStatus]) -> list[Finding]:
    """The members that are outside of the quorate part, while their corosync runs."""
    return [
        Finding(
            member.name,
            f"is not quorate: {corosync.votes(health.nodes, health.quorum)}",
            f"ssh root@{member.address} corosync-cfgtool -n; check its links to the others",
        )
        for member in joined(wanted, nodes)
        if (health := nodes[member.name].health) and not health.quorate and health.services.get("corosync")
    ]


def _doubled(health: Health) -> list[Finding]:
    return [
        Finding("cluster", f"the configuration holds {doubled}", "follow docs/recovery.md#node-id-twice")
        for doubled in corosync.doubled_ids(health.nodes)
    ]


def _addresses(wanted: Wanted) -> dict[str, str]:
    return {member.name: member.address for member in wanted.members}


def _votes(wanted: Wanted, health: Health, seen: NodeStatuses) -> list[Finding]:
    """Votes that differ for no other known reason: a node that is off, or not described, has a finding of its own."""
    if health.quorum is None:
        return []
    quorum, votes = health.quorum, corosync.expected_votes(health.nodes, health.device)
    found = []
    if quorum.expected != votes:
        owners = "its members and the QDevice" if health.device else "its members"
        what = f"expected votes are {quorum.expected}, {owners} have {votes}"
        found.append(Finding("cluster", what, f"pvecm status on a member; then pvecm expected {votes}"))
    return found + [
        Finding(
            "cluster",
            f"{quorum.total} of {quorum.expected} votes: that of {member.name} is missing",
            f"ssh root@{member.address} pvecm status",
        )
        for member in wanted.members
        if health.listed(member.name) and not votes_in(health, member.name) and _is_unexplained(wanted, member, seen)
    ]


def _qdevice(wanted: Wanted, nodes: dict[str, NodeStatus], health: Health) -> list[Finding]:
    """The QDevice is the described one, and every member is connected to it and sees its vote."""
    if health.device != wanted.device:
        now, then = (shown_device(one) for one in (health.device, wanted.device))
        step = UP if health.device is None else UNDESCRIBED_DEVICE
        return [Finding("cluster", f"the cluster has {now}; described is {then}", step)]
    return [
        Finding(member.name, problem.removeprefix(f"{member.name} "), _reconnect(member, health))
        for member in joined(wanted, nodes)
        for problem in formation.device_problems(nodes[member.name].health)
    ]


def shown_device(device: Device | None) -> str:
    """A QDevice, for people."""
    return f"a QDevice at {device.host} ({device.algorithm}, tls {device.tls})" if device else "no QDevice"


def _reconnect(member: Member, health: Health) -> str:
    server = health.device.host if health.device else ""
    return (
        f"ssh root@{server} systemctl status corosync-qnetd; then ssh root@{member.address} corosync-qdevice-tool -s; "
        "TCP port 5403 must be open between them"
    )


def _restart(member: Member, health: Health, service: str) -> str:
    """How to start a service; a watchdog-mux that has clients, or had some when it ended, resets the node or does not start."""
    if service == "watchdog-mux" and health.watchdog is not None and health.watchdog.used:
        return f"make drain NODE={member.name}, then make reboot NODE={member.name}"
    return f"ssh root@{member.address} systemctl restart {service}"


def _is_unexplained(wanted: Wanted, member: Member, seen: NodeStatuses) -> bool:
    """Whether no other finding explains why the node does not vote."""
    look = seen[member.name]
    if isinstance(look, StepError):
        return look.code not in NO_ANSWER
    return look.health.quorate and member in joined(wanted, {member.name: look})


def _priorities(wanted: Wanted, view: NodeStatus) -> list[Finding]:
    described = {link.number: link.priority for link in wanted.members[0].links if link.priority is not None}
    return [
        Finding(
            "cluster", f"link {number} has priority {view.health.priorities.get(number)}, not {priority}", AS_DESCRIBED
        )
        for number, priority in described.items()
        if view.health.priorities.get(number) != priority
    ]


def quorate_view(nodes: dict[str, NodeStatus]) -> NodeStatus | None:
    """A node with quorum, whose view counts for the cluster."""
    return next((look for look in nodes.values() if look.health.works), None)


def names_of_running(look: NodeStatus) -> list[str]:
    """The guests that run on a node."""
    guests: Sequence[str] = [
        guest.name or str(guest.id) for guest in look.health.running_guests or [] if guest.status == "running"
    ]
    return list(guests)
