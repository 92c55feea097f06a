"""Who belongs to the cluster: nodes that were removed while they were on, half joined, or are in another cluster. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import of_node
from onnode.cluster import corosync

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import World
    from onnode.contract.diagnosis import ConfFile, DiagnosisReport


def other_cluster(world: World, found: Symptoms) -> list[Found]:
    """Nodes of a cluster with another name, or with the same name and a key of its own."""
    causes: list[Found] = []
    own = world.expected.cluster
    for name, cluster in world.foreign.items():
        file = world.conf_of(name)
        is_namesake = cluster == own
        cause = Cause(
            "other-cluster",
            name,
            f"{name} belongs to another cluster {own}"
            if is_namesake
            else f"{name} belongs to cluster {cluster or 'without a name'}, not to {own}",
            [name],
            (f"its key is another one than that of {world.newest}, which does not list {name}; " if is_namesake else "")
            + f"its configuration lists {names([node.name for node in file.nodes] if file else [])}",
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


def undecided(world: World) -> str | None:
    """Why only a person can say which side of a split stays; None when one side alone has the quorum, or without a split.

    The version of a configuration decides nothing: the smaller side deletes more nodes, so it has the higher one.
    """
    apart = those_apart(world)
    if not apart:
        return None
    if not world.has_quorum:
        return "no side has the quorum"
    if quorate := [name for name in apart if world.is_quorate(name)]:
        return f"more than one side has a quorum, {names(quorate)} as well"
    if unknown := [name for name in apart if _may_vote(world.nodes[name])]:
        return f"whether {names(unknown)} {'has' if len(unknown) == 1 else 'have'} a quorum, could not be found out"
    for name, file in apart.items():
        silent = [node for node in file.nodes if node.name not in world.nodes and node.name not in world.voting]
        needed = corosync.expected_votes(file.nodes, file.device) // 2 + 1
        if sum(node.votes for node in silent) >= needed:
            return f"{names([node.name for node in silent])}, which {name} lists, may be on and have a quorum"
    return None


def _may_vote(report: DiagnosisReport) -> bool:
    """Whether corosync runs, and did not say whether it is quorate."""
    return report.quorum is None and report.services.get("corosync") == "active"


def split(world: World, found: Symptoms) -> list[Found]:
    """Nodes with the cluster's configuration and key that the list which counts does not have, and that were members.

    Such a node may have got the configuration without itself, in the moment before its corosync was stopped.
    """
    apart = those_apart(world)
    if not apart or world.conf is None or world.newest is None:
        return []
    here = [name for name in world.joined if name in world.listed]
    sides = f"{names(here)} list {names(list(world.listed))} ({_side(world, here, world.conf)}); " + "; ".join(
        f"{name} lists {names([node.name for node in file.nodes])} ({_side(world, [name], file)})"
        for name, file in apart.items()
    )
    explained = {one for name in apart for one in of_node(dict(found), name)}
    why_undecided = undecided(world)
    if len(apart) == 1 and why_undecided is None:
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
        cause = Cause(
            "cluster-split",
            "cluster",
            f"two sides call themselves {world.expected.cluster}: {names(here)}, and {names(list(apart))}",
            [*here, *apart],
            f"{sides}; {why_undecided or f'the newer configuration is that of {_newer(world, apart)}'}",
            f"keep the side with the quorum, {names(here)}; move guests that run on {names(list(apart))} away, then "
            + " and ".join(_reset(world, name) for name in apart)
            + f", and {world.make('up')} joins {'it' if len(apart) == 1 else 'them'} again"
            if why_undecided is None
            else _choose(world),
        )
    return [(cause, explained)]


def _newer(world: World, apart: dict[str, ConfFile]) -> str:
    """The node with the highest version."""
    versions = {name: file.version for name, file in apart.items()}
    if world.newest and world.conf:
        versions = {world.newest: world.conf.version, **versions}
    return max(versions, key=lambda name: versions[name], default="")


def _choose(world: World) -> str:
    return (
        "decide which side stays, by its guests and its votes, not by its version. On each node of the other side shut its guests down, "
        "then: systemctl stop pve-ha-lrm pve-ha-crm corosync. "
        f"Once the side that stays has the quorum, and no other side, {world.make('doctor')} says what follows"
    )


def _side(world: World, side: list[str], file: ConfFile) -> str:
    """Its version, quorum, votes and guests."""
    quorums = [quorum for name in side if (quorum := world.nodes[name].quorum)]
    best = max(quorums, key=lambda one: (one.quorate, one.total), default=None)
    votes = f"with {best.total} of {best.expected} votes" if best else "corosync does not run"
    guests = sum(world.nodes[name].guests for name in side)
    return f"version {file.version}, {_quorum(world, side)}, {votes}, guests: {guests}"


def _quorum(world: World, side: list[str]) -> str:
    return "quorate" if any(map(world.is_quorate, side)) else "without quorum"


def _reset(world: World, name: str) -> str:
    return f"{world.make('reset')} NODE={name}"


def half_joined(world: World, found: Symptoms) -> list[Found]:
    """Nodes with some of what makes a member: what an interrupted join, or an unfinished reset, leaves (F2)."""
    causes: list[Found] = []
    for name, report in world.nodes.items():
        if report.pve != "mounted" or not report.version or name in world.foreign:
            continue  # what is in /etc/pve cannot be seen, or is another cluster's
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


def _tells_its_parts(report: DiagnosisReport) -> bool:
    """Whether what is not there is missing, and not only without an answer."""
    return not {"local", "authkey", "shared", "certificate"} & set(report.unanswered)


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
    if not _tells_its_parts(report) or not any(there[part] for part in _PARTS[:3]):
        return []
    return [part for part, is_there in there.items() if not is_there]


def stand_alone(world: World, found: Symptoms) -> list[Found]:
    """Described nodes that are in no cluster, while there is one."""
    if not world.listed:
        return []
    alone = [
        name
        for name, report in world.nodes.items()
        if report.version and report.pve == "mounted" and name not in world.configured and not report.authkey
    ]
    causes: list[Found] = []
    for name in (one for one in alone if _tells_its_parts(world.nodes[one])):
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
