"""corosync.conf and its key: files that differ, do not parse, or were edited by hand. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import of_node

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import World
    from onnode.contract.diagnosis import ConfFile

LOCAL, SHARED = "/etc/corosync/corosync.conf", "/etc/pve/corosync.conf"
EDIT = f"cp {SHARED} {SHARED}.new, correct the copy, raise its config_version, mv {SHARED}.new {SHARED}"


def id_twice(world: World, found: Symptoms) -> list[Found]:
    """A node id that two nodes have."""
    doubled = [fault for fault in (world.conf.faults if world.conf else []) if fault.startswith("a node id twice")]
    if not doubled or not world.newest:
        return []
    cause = Cause(
        "node-id-twice",
        "cluster",
        f"the configuration holds {doubled[0]}",
        _with_digest(world, world.conf),
        "corosync does not start on the later node, nor on the first one after its next restart",
        "follow docs/recovery.md#node-id-twice: remove neither node with pvecm, which goes by the id",
    )
    later = doubled[0].rpartition(" and ")[2]
    return [(cause, of_node(dict(found), later))]


def _with_digest(world: World, file: ConfFile | None) -> list[str]:
    return [
        name
        for name, report in world.joined.items()
        if file and file.digest in {one.digest for one in (report.shared, report.local) if one}
    ]


def shared_broken(world: World, found: Symptoms) -> list[Found]:
    """The cluster's own corosync.conf does not parse: pmxcfs carries it to no node, and the next start fails."""
    broken = {
        name: report.shared for name, report in world.joined.items() if report.shared and _is_broken(report.shared)
    }
    if not broken or _is_shared_whole(world):
        return []
    name, file = next(iter(broken.items()))
    whole = {other: one.local.version for other, one in world.joined.items() if one.local and not one.local.faults}
    good = max(whole, key=lambda other: whole[other], default=None)
    last = f"{world.on(good, f'cat {LOCAL}')} shows the last good one (version {_version(world, good)})" if good else ""
    cause = Cause(
        "shared-conf-broken",
        "cluster",
        f"{SHARED} is broken: {file.faults[0]}",
        list(broken),
        "somebody edited it; corosync goes on with what it has loaded, and does not start again with this one",
        f"ssh root@{world.address(name)}, there: {EDIT}" + (f"; {last}" if last else ""),
    )
    return [
        (cause, {one for node in broken if _is_broken(world.nodes[node].local) for one in of_node(dict(found), node)})
    ]


def _is_shared_whole(world: World) -> bool:
    """Whether the cluster's own one is whole; a node without quorum may still show the broken one of before."""
    return (
        world.newest is not None
        and world.is_quorate(world.newest)
        and (shared := world.nodes[world.newest].shared) is not None
        and not _is_broken(shared)
    )


def _is_broken(file: ConfFile | None) -> bool:
    return file is not None and any(not fault.startswith("a node id twice") for fault in file.faults)


def _version(world: World, name: str) -> int:
    file = world.nodes[name].local
    return file.version if file else 0


def local_broken(world: World, found: Symptoms) -> list[Found]:
    """A node's own corosync.conf does not parse, or is gone, while others have a whole one."""
    causes: list[Found] = []
    for name, report in world.joined.items():
        shared = report.shared
        if report.local is None or not _is_broken(report.local):
            continue
        if shared and shared.digest == report.local.digest and not _is_shared_whole(world):
            continue
        cause = Cause(
            "local-conf-broken",
            name,
            f"{LOCAL} of {name} is broken: {report.local.faults[0]}",
            [name],
            "corosync does not start with it" if report.quorum is None else "corosync goes on until its next start",
            _put_back(world, name) if is_certain(world, name) else _compare(world, name),
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


def _put_back(world: World, name: str) -> str:
    """How a node gets the configuration that counts again: its own copy of that, else another node's."""
    wanted, shared = in_force(world), world.nodes[name].shared
    then = "systemctl restart corosync && systemctl restart pve-cluster"
    if wanted and not wanted.faults and name in world.listed:
        if shared and shared.digest == wanted.digest:
            return world.on(name, f"cp {SHARED} {LOCAL} && {then}")
        for other, report in world.joined.items():
            paths = [(LOCAL, report.local), (SHARED, report.shared)]
            path = next((path for path, file in paths if file and file.digest == wanted.digest), None)
            if other != name and path is not None:
                copy = f"scp -3 root@{world.address(other)}:{path} root@{world.address(name)}:{LOCAL}"
                return f"{copy} && {world.on(name, then)}"
    return f"on {name}: correct {LOCAL}, then {then}"


def runs_ahead(world: World) -> ConfFile | None:
    """The nodes' own file, where all that vote run with it, and /etc/pve has an older one.

    So it is after a repair by hand while /etc/pve took no writes: the older one may be what had to be repaired.
    """
    voters = [world.joined[name] for name in world.listed if name in world.voting and name in world.joined]
    file = voters[0].local if voters else None
    if not world.has_quorum or world.conf is None or file is None or file.faults or file.version <= world.conf.version:
        return None
    run_it = [one for one in voters if one.local and one.local.digest == file.digest and one.loaded == file.version]
    votes = world.votes_of(name for name in world.voting if name in world.joined)
    is_most = 2 * votes > world.votes_of(world.listed)
    return file if len(run_it) == len(voters) and is_most else None


def in_force(world: World) -> ConfFile | None:
    """The configuration that each node's own file is to be."""
    return runs_ahead(world) or world.conf


def shared_older(world: World, _found: Symptoms) -> list[Found]:
    """The cluster's own corosync.conf is older than the one with which all nodes run."""
    file = runs_ahead(world)
    if file is None or world.conf is None or world.conf.faults or world.newest is None:
        return []
    voters = [name for name in world.listed if name in world.voting and name in world.joined]
    cause = Cause(
        "shared-conf-older",
        "cluster",
        f"{SHARED} has version {world.conf.version}, and corosync of all nodes that vote runs with version {file.version} of {LOCAL}",
        voters,
        "somebody repaired the nodes' own files while /etc/pve took no writes; the older one would bring back what was wrong",
        world.on(world.newest, f"cp {LOCAL} {SHARED}.new && mv {SHARED}.new {SHARED}"),
    )
    return [(cause, set())]


def is_certain(world: World, name: str) -> bool:
    """Whether a node's own file is the one at odds: else only a person can say which of several configurations counts.

    A broken one and an older one give way to that of a quorum. Else more votes must have the one that counts than any other: a single
    node may have got a higher version from somebody who worked on it alone.
    """
    wanted, own = in_force(world), world.nodes[name].local
    if wanted is None or own is None:
        return False
    if own.digest == wanted.digest or (world.has_quorum and (own.faults or own.version < wanted.version)):
        return True
    votes = Counter[str]()
    for one, report in world.joined.items():
        whole = next((file for file in (report.local, report.shared) if file and not file.faults), None)
        if whole is not None:
            votes[whole.digest] += world.votes_of([one])
    agree = votes.pop(wanted.digest, 0)
    return agree > max(votes.values(), default=0)


def differing(world: World, found: Symptoms) -> list[Found]:
    """A node's own file is not the one that counts: newer, of the same version with other content, or older."""
    causes: list[Found] = []
    conf = in_force(world)
    for name, report in world.joined.items():
        local = report.local
        if conf is None or local is None or local.faults or conf.faults or local.digest == conf.digest:
            continue
        if name not in world.listed:
            continue  # it was removed, which is another matter
        cause = Cause(*_difference(world, name, local, conf))
        explained = of_node(dict(found), name) if report.quorum is None or not world.is_quorate(name) else set()
        causes.append((cause, explained))
    return causes


def _difference(world: World, name: str, local: ConfFile, conf: ConfFile) -> tuple[str, str, str, list[str], str, str]:
    where, by = f"{LOCAL} of {name}", [name, *(other for other in [world.newest] if other and other != name)]
    following = _put_back(world, name) if is_certain(world, name) else _compare(world, name)
    if local.version > conf.version:
        what = f"{where} has version {local.version}, the cluster's is {conf.version}"
        why = "somebody edited it there and not in /etc/pve; pmxcfs carries no older one over it"
        return "local-conf-newer", name, what, by, why, following
    if local.version == conf.version:
        what = f"{where} differs from the cluster's, and has the same config_version {conf.version}"
        why = "one of the two was edited by hand, without raising config_version: no node takes it for news"
        return "conf-version-not-raised", name, what, by, why, following
    what = f"{where} has version {local.version}, the cluster's is {conf.version}"
    why = "it was off, or its pmxcfs did not run, when the cluster changed"
    return "local-conf-older", name, what, by, why, following


def _compare(world: World, name: str) -> str:
    return (
        f"{world.on(name, f'diff {LOCAL} {SHARED}')}; decide which one counts, as the nodes do not agree: bring that one to {SHARED} "
        f"under a higher config_version, by {SHARED}.new and mv, or without a quorum to {LOCAL} of all nodes"
    )


def not_loaded(world: World, _found: Symptoms) -> list[Found]:
    """The running corosync has another version than its file."""
    behind = {
        name: report
        for name, report in world.joined.items()
        if report.local
        and not report.local.faults
        and report.loaded is not None
        and report.loaded != report.local.version
        # What came with the cluster's newest is reloaded by pmxcfs within a second or two.
        and report.quorum is not None
        # One that is not to stay is not loaded, either: the command reaches all nodes.
        and (conf := in_force(world)) is not None
        and report.local.digest == conf.digest
    }
    return [
        (
            Cause(
                "conf-not-loaded",
                name,
                f"corosync of {name} runs with version {report.loaded} of its configuration, the file has {report.local.version}",
                [name],
                "the file was changed, and corosync was neither told nor restarted, or refused it",
                world.on(name, "corosync-cfgtool -R"),
            ),
            set(),
        )
        for name, report in behind.items()
        if report.local
    ]


def keys_differ(world: World, found: Symptoms) -> list[Found]:
    """A key of corosync that is not the others': its packets count for nothing."""
    keys = {name: report.authkey for name, report in world.joined.items() if report.authkey}
    if len(set(keys.values())) < 2:  # noqa: PLR2004
        return []
    count = Counter(keys.values())
    usual = keys[world.newest] if world.newest in keys and world.has_quorum else count.most_common(1)[0][0]
    other = [name for name, key in keys.items() if key != usual]
    good = next(name for name, key in keys.items() if key == usual)
    causes: list[Found] = []
    for name in other:
        cause = Cause(
            "authkey-differs",
            name,
            f"/etc/corosync/authkey of {name} is another one than that of {names([one for one in keys if one not in other])}",
            list(keys),
            "corosync throws away what is signed with another key: the node sees nobody, whatever its links do",
            f"scp -3 root@{world.address(good)}:/etc/corosync/authkey root@{world.address(name)}:/etc/corosync/authkey && "
            + world.on(name, "systemctl restart corosync && systemctl restart pve-cluster")
            if name in world.voting or not world.is_quorate(name)
            else f"decide which side stays, before a key is changed: {name} has a quorum of its own with that key",
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes
