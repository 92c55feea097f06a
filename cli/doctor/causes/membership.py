"""Who belongs to the cluster: nodes that were removed while they were on, half joined, or are in another cluster. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import of_node

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import World
    from onnode.contract import ConfFile, DiagnosisReport


def other_cluster(world: World, found: Symptoms) -> list[Found]:
    """Nodes of a cluster with another name."""
    causes: list[Found] = []
    for name in world.joined:
        file = world.conf_of(name)
        if file is None or file.cluster in (None, world.expected.cluster):
            continue
        cause = Cause(
            "other-cluster",
            name,
            f"{name} belongs to cluster {file.cluster}, not to {world.expected.cluster}",
            [name],
            f"its configuration lists {names([node.name for node in file.nodes])}",
            "correct cluster.name or this node in the stack file: a node leaves its cluster by your own decision only",
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


def those_apart(world: World) -> dict[str, ConfFile]:
    """The nodes of :func:`split`, each with its configuration."""
    return {
        name: file
        for name in world.joined
        if name not in world.listed and world.listed
        if (file := world.conf_of(name)) and file.cluster == world.expected.cluster
        if name in {node.name for node in file.nodes} or world.was_removed(name)
    }


def split(world: World, found: Symptoms) -> list[Found]:
    """Nodes with the cluster's configuration and key that the newest configuration does not list, and that were members.

    Such a node may have got the configuration without itself, in the moment before its corosync was stopped.
    """
    apart = those_apart(world)
    if not apart or world.conf is None or world.newest is None:
        return []
    here = [name for name in world.joined if name in world.listed]
    sides = (
        f"{names(here)} list {names(list(world.listed))} (version {world.conf.version}, {_quorum(world, here)}); "
        + "; ".join(
            f"{name} lists {names([node.name for node in file.nodes])} (version {file.version}, {_quorum(world, [name])})"
            for name, file in apart.items()
        )
    )
    explained = {one for name in apart for one in of_node(dict(found), name)}
    if len(apart) == 1 and not any(map(world.is_quorate, apart)):
        name = next(iter(apart))
        cause = Cause(
            "removed-while-on",
            name,
            f"{name} was removed from the cluster, and was not powered off: it still has the cluster's configuration and key",
            [name, *here],
            sides,
            f"{_reset(world, name)} makes it a clean stand-alone node; where it is described, {world.make('up')} then joins it again",
        )
    else:
        newer = (
            world.newest
            if all(world.conf.version >= file.version for file in apart.values())
            else max(apart, key=lambda one: apart[one].version)
        )
        cause = Cause(
            "cluster-split",
            "cluster",
            f"two sides call themselves {world.expected.cluster}: {names(here)}, and {names(list(apart))}",
            [*here, *apart],
            f"{sides}; the newer configuration is that of {newer}",
            f"keep the side with the quorum, {names(here)}; move guests that run on {names(list(apart))} away, then "
            + " and ".join(_reset(world, name) for name in apart)
            + f", and {world.make('up')} joins {'it' if len(apart) == 1 else 'them'} again",
        )
    return [(cause, explained)]


def _quorum(world: World, side: list[str]) -> str:
    return "quorate" if any(map(world.is_quorate, side)) else "without quorum"


def _reset(world: World, name: str) -> str:
    return f"{world.make('reset')} NODE={name}"


def half_joined(world: World, found: Symptoms) -> list[Found]:
    """Nodes with some of what makes a member: what an interrupted join, or an unfinished reset, leaves (F2)."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        if report.pve != "mounted" or not report.version:
            continue  # what is in /etc/pve cannot be seen
        missing = _missing(name, report)
        has = [one for one in _PARTS if one not in missing]
        if not missing or not has or (name in world.joined and world.was_removed(name)):
            continue
        listed = name in world.listed
        alone = not listed and not (report.local or report.shared)
        cause = Cause(
            "keys-left-over" if alone else "half-joined",
            name,
            f"{name} has {names(has)} of a cluster, and lacks {names(missing)}",
            [name, *([world.newest] if listed and world.newest and world.newest != name else [])],
            "a join that was tried again says that the authentication key already exists"
            if alone
            else "a join stopped half way; the cluster "
            + ("lists it and counts its vote already" if listed else "does not list it"),
            f"{world.make('up')} finishes the join, or cleans the node and joins it"
            if world.is_described(name)
            else _reset(world, name),
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


_PARTS = ("corosync.conf", "the key", "the shared configuration that lists it", "its certificate")


def _missing(name: str, report: DiagnosisReport) -> list[str]:
    has_list = report.shared is not None and (
        bool(report.shared.faults) or name in {node.name for node in report.shared.nodes}
    )
    there = dict(
        zip(
            _PARTS,
            (report.local is not None, report.authkey is not None, has_list, report.certificate is not None),
            strict=True,
        )
    )
    # A stand-alone node has a certificate, too: it is no part of a cluster by itself.
    if not any(there[part] for part in _PARTS[:3]):
        return []
    return [part for part, is_there in there.items() if not is_there]


def stand_alone(world: World, found: Symptoms) -> list[Found]:
    """Described nodes that are in no cluster, while there is one."""
    if not world.listed:
        return []
    alone = [
        name
        for name, report in world.nodes.items()
        if report.version and report.pve == "mounted" and name not in world.joined and not report.authkey
    ]
    causes: list[Found] = []
    for name in alone:
        listed = name in world.listed
        what = (
            "was installed anew, or reset: it is stand-alone"
            if listed
            else "is stand-alone, and not in the cluster yet"
        )
        cause = Cause(
            "installed-anew" if listed else "not-joined",
            name,
            f"{name} {what}" + (", and the cluster still lists it" if listed else ""),
            [name, *([world.newest] if world.newest else [])],
            "it has neither corosync.conf nor a key",
            f"{world.make('up')} {'replaces it' if listed else 'joins it'}",
        )
        causes.append((cause, of_node(dict(found), name)))
    return causes


def strangers(world: World, found: Symptoms) -> list[Found]:
    """Listed nodes that the stack file does not have; without a vote, they may never have existed."""
    causes: list[Found] = []
    for name in world.listed:
        if world.is_described(name):
            continue
        votes = name in world.voting
        cause = Cause(
            "member-unknown",
            name,
            f"{name} is a member, and not in the stack file" + ("" if votes else "; it does not vote"),
            [world.newest or ""],
            "somebody else joined it, or added its entry"
            if votes
            else "a join that never ended, or a node that is off: its vote is expected all the same",
            f"describe {name} under nodes in the stack file; to remove it, follow docs/recovery.md#member-unknown",
        )
        causes.append((cause, {("vote", name)} & set(found)))
    return causes
