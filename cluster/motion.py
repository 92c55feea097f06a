"""What moves guests, read from the files of HA and of the guests in /etc/pve. Pure.

HA moves a guest when it recovers it, when a user asks for that, and when a node that the guest prefers is back. The node
that had it a moment ago then answers that there is no such guest.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnode.system.pve import parse_guest_config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

FILES = "etc/pve/ha/manager_status etc/pve/nodes/*/lrm_status"
MOVE_S = 300.0  # for a guest: fencing and an agent's lock take HA 180 s
STALE_S = 5.0  # for a lock without a migration: it may have begun or ended between two looks
BACK_S = 90.0  # for a node that answers, and has yet to be a member again
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
# What pve-ha-manager takes for too old (PVE/API2/HA/Status.pm).
OLD_S = 30
_GUEST = re.compile(r"etc/pve/nodes/(?P<node>[^/]+)/(?P<kind>qemu-server|lxc)/(?P<vmid>\d+)\.conf")
_AGENT = re.compile(r"etc/pve/nodes/(?P<node>[^/]+)/lrm_status")
_AWAY = ("unknown", "fence", "gone")
_WAITS = "wait_for_agent_lock"
_NEEDS_NO_AGENT = ("stopped", "freeze", "error")


@dataclass(frozen=True)
class Motion:
    """What one member shows.

    Attributes:
        offline: the members that the cluster misses.
        online: the other members.
        seen: by node, the state in which the HA manager has it.
        agents: by node, the state of its agent (LRM), and when it reported that.
        services: by guest ("vm:200"), HA's record of it.
        migrating: by guest, the node on which its configuration is locked for a migration.
        running: the guests whose migrations run on that member itself.
        backups: those that run on that member itself, in words.
        managed: when the HA manager reported all this.
    """

    offline: frozenset[str] = frozenset()
    online: frozenset[str] = frozenset()
    seen: dict[str, str] = field(default_factory=dict)
    agents: dict[str, tuple[str, int]] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    migrating: dict[str, str] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    managed: int = 0
    backups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Unrest:
    """A reason to wait, and how long it is worth that."""

    what: str
    patience_s: float


def read(
    files: Mapping[str, str], members: str, running: Collection[str] = (), backups: Collection[str] = ()
) -> Motion:
    """Read the files of a member.

    Args:
        files: by path.
        members: the text of /etc/pve/.members.
        running: the guests whose migrations run there.
        backups: those that run there, in words.
    """
    manager = _document(files.get("etc/pve/ha/manager_status", ""))
    listed = _document(members).get("nodelist") or {}
    agents = {match["node"]: _document(text) for path, text in files.items() if (match := _AGENT.fullmatch(path))}
    offline = frozenset(name for name, node in listed.items() if not node.get("online"))
    return Motion(
        offline,
        frozenset(listed) - offline,
        manager.get("node_status") or {},
        {node: (str(one.get("state", "")), int(one.get("timestamp", 0))) for node, one in agents.items() if one},
        manager.get("service_status") or {},
        dict(_migrating(files)),
        frozenset(running),
        int(manager.get("timestamp", 0)),
        frozenset(backups),
    )


def _document(text: str) -> dict[str, Any]:
    """A file of HA's; one that was written while it was read is ignored."""
    try:
        found = json.loads(text.rstrip("\0"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _migrating(files: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for path, text in files.items():
        if (match := _GUEST.fullmatch(path)) and parse_guest_config(text).values.get("lock") == "migrate":
            yield f"{'vm' if match['kind'] == 'qemu-server' else 'ct'}:{match['vmid']}", match["node"]


def unrest(
    motion: Motion, guests: Collection[str], answering: Collection[str], running: Collection[str] | None = None
) -> list[Unrest]:
    """Why guests may be elsewhere in a moment.

    A guest in state `error` stays where it is; so does every guest while a node that does not answer stays away.

    Args:
        motion: what a working member shows.
        guests: those that count, as HA calls them.
        answering: the nodes that answer.
        running: the guests whose migrations run; None when not every member that could run one has reported.
    """
    found = [Unrest(_service(sid, motion.services[sid]), MOVE_S) for sid in guests if _moves(motion.services.get(sid))]
    found += [
        _locked(sid, node, running)
        for sid, node in motion.migrating.items()
        if sid in guests and not _moves(motion.services.get(sid))
    ]
    managed = any(sid in motion.services for sid in guests)
    backs = [(name, _on_its_way_back(motion, name, managed=managed)) for name in sorted(answering)]
    return found + [Unrest(f"{name} {why}", BACK_S) for name, why in backs if why]


def going_on(motions: Mapping[str, Motion], leaving: Collection[str]) -> list[str]:
    """What a change of the cluster would disturb, in words: guests between two states, migrations and backups.

    What a node still has that leaves and is off already holds up nothing: HA takes it elsewhere when that node is removed.
    Neither does a guest in `recovery` that no node may have: nobody could wait for the end of that.

    Args:
        motions: what each quorate member shows.
        leaving: nodes that are described no more.
    """
    speaker = next(iter(motions.values()), None)
    if speaker is None:
        return ["no quorate member answers"]
    complete = speaker.online <= motions.keys()
    running = frozenset[str]().union(*(one.running for one in motions.values())) if complete else None
    off = set(leaving) & speaker.offline
    # A lock that a migration left behind when it failed is nothing that goes on.
    locked = {sid: node for sid, node in speaker.migrating.items() if running is None or sid in running}
    guests = {
        sid
        for sid, service in speaker.services.items()
        if service.get("node") not in off
        and not (service.get("state") == "recovery" and service.get("node") in speaker.offline)
    }
    found = unrest(replace(speaker, migrating=locked), guests | locked.keys(), (), running)
    return sorted({*(one.what for one in found), *(what for one in motions.values() for what in one.backups)})


def _locked(sid: str, node: str, running: Collection[str] | None) -> Unrest:
    """A guest whose configuration is locked for a migration; one that failed, or whose node died, leaves the lock behind."""
    what = f"{sid} is locked for a migration on {node}"
    if running is not None and sid in running:
        return Unrest(what, MOVE_S)
    kind, _, vmid = sid.partition(":")
    unlock = f"`{'qm' if kind == 'vm' else 'pct'} unlock {vmid}` on {node}"
    if running is None:
        return Unrest(f"{what}, and not every member reported whether it runs one (if none does: {unlock})", MOVE_S)
    return Unrest(f"{what}, and no member runs one, so nothing can change the guest: {unlock}", STALE_S)


def _moves(service: Mapping[str, Any] | None) -> bool:
    """Whether HA moves, starts or stops it, or was asked to; in state `error` it does nothing, whatever it was asked."""
    if service is None or service.get("state") == "error":
        return False
    return service.get("state") in ON_ITS_WAY or bool(service.get("cmd"))


def _service(sid: str, service: Mapping[str, Any]) -> str:
    state, node = str(service.get("state")), service.get("node")
    if state not in ON_ITS_WAY:
        return f"{sid}: HA was asked to {' '.join(map(str, service['cmd']))}"
    to = f" to {service['target']}" if service.get("target") else ""
    return f"{sid}: HA {ON_ITS_WAY[state]} {node}{to} (state {state})"


def _on_its_way_back(motion: Motion, name: str, *, managed: bool) -> str:
    """Why a node that answers has yet to be taken for a member; empty where it is one, or never was."""
    if name in motion.offline:
        return "has yet to join the cluster again"
    if not managed or name not in motion.online:
        return ""  # one that left the cluster is remembered as gone for an hour
    if (state := motion.seen.get(name)) in _AWAY:
        return f"has yet to be seen by the HA manager (there it is {state})"
    if name not in motion.seen or name not in motion.agents:
        return ""
    state, reported = motion.agents[name]
    newest = max(motion.managed, *(time for _, time in motion.agents.values()))
    if newest - reported > OLD_S:
        return "has an HA agent (LRM) that does not report yet"
    busy = any(one.get("node") == name and one.get("state") not in _NEEDS_NO_AGENT for one in motion.services.values())
    return f"has an HA agent (LRM) that is not active yet ({state})" if busy and state == _WAITS else ""
