"""What stands on a cluster that works: its votes, HA, storages, certificates. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import QUORUM
from onnode.cluster import corosync

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import World

HA_OLD_S = 60.0  # agents and the master write every few seconds; after 30 s Proxmox VE calls them dead
SOON_S = 14 * 24 * 3600.0  # Proxmox VE itself renews a certificate two weeks before its end


def expected_votes(world: World, found: Symptoms) -> list[Found]:
    """Expected votes that are not those of the list and its QDevice: what `pvecm expected` leaves."""
    if world.view is None or not world.conf:
        return []
    votes = corosync.expected_votes(world.conf.nodes, world.conf.device)
    stale = any(report.loaded not in (None, world.conf.version) for report in world.joined.values())
    if world.view.expected == votes or stale:
        return []
    member, needed = world.newest or "", votes // 2 + 1
    command = world.on(member, f"pvecm expected {votes}")
    # Corosync takes no number that would cost the quorum at once.
    following = (
        command
        if needed <= world.view.total
        else f"bring the nodes back first that do not vote: {needed} votes are needed then, and {world.view.total} are there; then {command}"
    )
    cause = Cause(
        "votes-expected",
        "cluster",
        f"{world.view.expected} votes are expected, and what is listed has {votes}",
        [member],
        "somebody ran `pvecm expected`: it holds until nodes come or go, and with too few, two halves of a cluster could both go on",
        following,
    )
    return [(cause, {QUORUM} & set(found))]


def ha(world: World, found: Symptoms) -> list[Found]:
    """HA without a master, agents that are dead, guests in error: as a quorate node sees it."""
    view = world.nodes[world.newest].ha if world.newest and world.has_quorum else None
    if view is None or not view.resources or world.newest is None:
        return []
    if view.master is None or (view.master_age_s or 0) > HA_OLD_S:
        cause = Cause(
            "ha-master-missing",
            "cluster",
            "HA has no master"
            if view.master is None
            else f"the HA master {view.master} is silent since {view.master_age_s:.0f} s",
            [world.newest],
            "no node's pve-ha-crm has taken the manager's lock: guests are neither started nor recovered",
            world.on(world.newest, "systemctl restart pve-ha-crm"),
        )
        return [(cause, set())]
    causes: list[Found] = [
        (
            Cause(
                "ha-agent-dead",
                name,
                f"the HA agent (LRM) of {name} is silent since {age:.0f} s",
                [world.newest],
                "guests on it are not looked after; with the agent dead for long, the node fences itself",
                world.on(name, "systemctl restart pve-ha-lrm"),
            ),
            {("service", name, "pve-ha-lrm")} & set(found),
        )
        for name, age in view.agent_ages_s.items()
        if age > HA_OLD_S and name in world.voting and name in world.nodes
    ]
    error = sorted(sid for sid, state in view.services.items() if state == "error")
    return causes + [
        (
            Cause(
                "ha-guest-error",
                sid,
                f"HA has given up {sid}: it is in state error",
                [world.newest],
                "it was started too often in vain, or its node lost it",
                world.on(world.newest, f"ha-manager set {sid} --state disabled") + "; fix it, then --state started",
            ),
            set(),
        )
        for sid in error
    ]


def storages(world: World, found: Symptoms) -> list[Found]:
    """Storages that are not active: at all nodes, it is the server; at one, its way there."""
    causes: list[Found] = []
    for storage in world.expected.storages:
        asked = [name for name, report in world.nodes.items() if report.storages is not None and name in world.listed]
        lost = [name for name in asked if ("storage", name, storage) in found]
        if not lost:
            continue
        explained = {("storage", name, storage) for name in lost}
        if not any(storage in (world.nodes[name].storages or {}) for name in asked):
            causes.append((_missing(world, storage, lost), explained))
            continue
        all_of_them = len(lost) == len(asked) > 1
        cause = Cause(
            "storage-inactive",
            "cluster" if all_of_them else names(lost),
            f"storage {storage} is not active on {'any node' if all_of_them else names(lost)}",
            lost,
            "its server, or the network to it" if all_of_them else "the others have it: it is the way from there",
            world.on(lost[0], f"pvesm status --storage {storage}") + "; bring its server or its network back",
        )
        causes.append((cause, explained))
    return causes


def _missing(world: World, storage: str, asked: list[str]) -> Cause:
    return Cause(
        "storage-missing",
        "cluster",
        f"no node has storage {storage} of the stack file",
        asked,
        "it is not in /etc/pve/storage.cfg, or was never made",
        f"{world.make('up')} makes it; one of kind external make by hand, or take it out of the stack file",
    )


def certificates(world: World, found: Symptoms) -> list[Found]:
    """Certificates that have ended, that another authority signed, or that the API does not present."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        one = report.certificate
        if one is None:
            continue
        told = None
        if one.authority_ends is not None and one.authority_ends < world.seen.now:
            told = (
                "authority-expired",
                f"the cluster's own authority ended on {_day(one.authority_ends)}",
                "pvecm updatecerts --force",
            )
        elif one.ends is not None and one.ends < world.seen.now:
            told = ("certificate-expired", f"the certificate of {name} ended on {_day(one.ends)}", _renew(one.path))
        elif one.signed is False:
            told = (
                "certificate-foreign",
                f"the certificate of {name} is not signed by the cluster's authority",
                _renew(one.path),
            )
        elif ("api", name) in found:
            told = (
                "api-silent" if one.served is None else "api-certificate",
                found["api", name],
                "systemctl restart pveproxy",
            )
        elif one.ends is not None and one.ends < world.seen.now + SOON_S and one.path.endswith("pveproxy-ssl.pem"):
            told = (
                "certificate-ends",
                f"the certificate of {name} ends on {_day(one.ends)}",
                "pvenode acme cert renew",
            )
        if told:
            code, what, command = told
            why = f"{one.path}; the API presents it to every client"
            causes.append((Cause(code, name, what, [name], why, world.on(name, command)), {("api", name)} & set(found)))
    return causes


def _renew(path: str) -> str:
    own = path.endswith("pveproxy-ssl.pem")
    return "pvenode acme cert renew" if own else "pvecm updatecerts --force && systemctl restart pveproxy"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
