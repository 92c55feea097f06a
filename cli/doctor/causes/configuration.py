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
    from onnode.contract import ConfFile

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
    good = next((other for other, report in world.joined.items() if report.local and not report.local.faults), None)
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
            _put_back(world, name),
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


def _put_back(world: World, name: str) -> str:
    """How a node gets the cluster's configuration again: its own copy of it, else another node's."""
    shared = world.nodes[name].shared
    then = "systemctl restart corosync && systemctl restart pve-cluster"
    if shared and not shared.faults and world.conf and shared.version >= world.conf.version:
        return world.on(name, f"cp {SHARED} {LOCAL} && {then}")
    good = next((other for other in world.joined if other != name and other == world.newest), None)
    if good is None:
        return f"on {name}: correct {LOCAL}, then {then}"
    return f"scp -3 root@{world.address(good)}:{LOCAL} root@{world.address(name)}:{LOCAL} && {world.on(name, then)}"


def differing(world: World, found: Symptoms) -> list[Found]:
    """A node's own file is not the cluster's: newer, of the same version with other content, or older."""
    causes: list[Found] = []
    conf = world.conf
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
    if local.version > conf.version:
        what = f"{where} has version {local.version}, the cluster's is {conf.version}"
        why = "somebody edited it there and not in /etc/pve; pmxcfs carries no older one over it"
        return "local-conf-newer", name, what, by, why, _put_back(world, name)
    if local.version == conf.version:
        what = f"{where} differs from the cluster's, and has the same config_version {conf.version}"
        why = "one of the two was edited by hand, without raising config_version: no node takes it for news"
        return "conf-version-not-raised", name, what, by, why, _put_back(world, name)
    what = f"{where} has version {local.version}, the cluster's is {conf.version}"
    why = "it was off, or its pmxcfs did not run, when the cluster changed"
    return "local-conf-older", name, what, by, why, _put_back(world, name)


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
    own = world.expected.cluster
    keys = {
        name: report.authkey
        for name, report in world.joined.items()
        if report.authkey and (file := world.conf_of(name)) and file.cluster in (None, own)
    }
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
            + world.on(name, "systemctl restart corosync && systemctl restart pve-cluster"),
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes
