"""From doctor's causes to repairs, in doctor's order; what nothing here mends is for a person. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import access, configuration, membership, names
from cli.repair import described_conf, last_good
from cli.repair.model import KINDS, ByHand, Guests, Repair
from onnode.cluster import corosync, corosync_file, qdevice, start_services
from onnode.cluster.membership import PVE_CONF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cli.doctor.model import Cause, World
    from cli.repair.model import Situation
    from onnode.contract.diagnosis import ConfFile

    Planned = Callable[[Situation, Cause], Repair | str]

UNITS = f"{', '.join(start_services.ORDER)} and, where there is a QDevice, {qdevice.UNIT}"


def plan(situation: Situation, causes: Iterable[Cause]) -> list[Repair | ByHand]:
    """For each cause the repair that mends it, or why a person is needed."""
    return [_planned(situation, cause) for cause in causes]


def _planned(situation: Situation, cause: Cause) -> Repair | ByHand:
    name = next((name for name, kind in KINDS.items() if cause.name in kind.causes), None)
    if name is None:
        return ByHand(cause, "no repair mends this")
    found = PLANNED[name](situation, cause)
    if isinstance(found, Repair):
        found = _barred(situation.world, found) or found
    return ByHand(cause, found) if isinstance(found, str) else found


def _barred(world: World, repair: Repair) -> str | None:
    """Why a machine is not to be changed, whatever the cause: it belongs to another cluster, or to another side of this one."""
    apart = membership.those_apart(world)
    for name in repair.machines:
        if name in world.foreign:
            return f"{name} belongs to another cluster, {world.foreign[name] or 'without a name'}, and stays as it is"
        if repair.name != "split" and (name in apart or _votes_elsewhere(world, name)):
            return f"{name} is of another side than {world.newest}: a person decides first which one stays"
    if (why := membership.undecided(world)) is not None:
        return f"{why}: a person decides first which side stays"
    return None


def _votes_elsewhere(world: World, name: str) -> bool:
    """Whether a node is quorate with none of those whose vote counts."""
    voters = {voter.id for voter in world.view.members} if world.view else set[int]()
    quorum = world.nodes[name].quorum
    return quorum is not None and quorum.quorate and voters.isdisjoint(voter.id for voter in quorum.members)


def _start(name: str) -> str:
    return f"on {name}: start what does not run of {UNITS}, in this order, and what stands on it anew"


def _is_closed(name: str) -> str:
    return f"{name} lets nobody in over SSH: root's keys are in /etc/pve, which is away there"


# -- services ----------------------------------------------------------------------------------------------------------


def _services(situation: Situation, cause: Cause) -> Repair | str:
    world, name = situation.world, cause.where
    if name not in world.nodes:
        return _is_closed(name)
    steps = [
        *([f"on {name}: end pmxcfs in local mode"] if world.nodes[name].pmxcfs == "local" else []),
        _start(name),
        *([f"wait until {name} is quorate and /etc/pve takes writes"] if may_be_quorate(world, name) else []),
    ]
    return Repair("services", cause, [name], steps)


def may_be_quorate(world: World, name: str) -> bool:
    """Whether a listed node would be part of a quorum with those whose corosync runs."""
    running = {one for one, report in world.joined.items() if report.quorum is not None and one in world.listed}
    return name in world.listed and world.votes_of({*running, name}) >= world.needed


# -- corosync.conf -----------------------------------------------------------------------------------------------------


def _conf(situation: Situation, cause: Cause) -> Repair | str:
    if cause.name == "shared-conf-broken":
        return _shared(situation, cause)
    if cause.name == "shared-conf-older":
        return _older(situation, cause)
    world, name = situation.world, cause.where
    if name not in world.nodes:
        return _is_closed(name)
    if not configuration.is_certain(world, name):
        return f"the nodes do not agree with one another about {name}: a person decides which configuration counts"
    wanted = configuration.in_force(world)
    good = last_good.with_digest(situation.kept, wanted.digest) if wanted and not wanted.faults else None
    if good is None or good.conf.node(name) is None:
        return f"no node has a whole configuration of the cluster that lists {name}"
    steps = [
        f"on {name}: /etc/corosync/corosync.conf becomes {good.told}",
        f"on {name}: stop corosync if it has loaded another version",
        _start(name),
    ]
    return Repair("corosync-conf", cause, [name], steps, text=good.text)


def _older(situation: Situation, cause: Cause) -> Repair | str:
    """What all run comes to /etc/pve; no corosync is touched."""
    world, running = situation.world, configuration.runs_ahead(situation.world)
    good = last_good.with_digest(situation.kept, running.digest) if running else None
    if good is None:
        return "the configuration that runs could not be read"
    writer = next((name for name in world.side if world.is_quorate(name) and world.nodes[name].pve_writable), None)
    if writer is None:
        return "no quorate node has an /etc/pve that takes writes"
    steps = [f"on {writer}: /etc/pve/corosync.conf becomes {good.told}, which corosync runs already"]
    return Repair("corosync-conf", cause, [writer], steps, text=good.text)


def _shared(situation: Situation, cause: Cause) -> Repair | str:
    world = situation.world
    apart = membership.those_apart(world)
    own = [name for name in cause.seen_by if name not in apart]
    voters = {voter.id for voter in world.view.members} if world.view else set[int]()
    good = last_good.last_good(situation.kept, world.expected.cluster, own, voters) or _described(situation, voters)
    if good is None:
        return "no node has a whole corosync.conf of this cluster and its nodes any more, and no corosync runs that has loaded one"
    version = last_good.next_version(situation.kept)
    writer = world.newest if world.newest and world.is_quorate(world.newest) else None
    shared = f"/etc/pve/corosync.conf becomes {good.told}, under version"
    if writer is not None:
        steps = [f"on {writer}: {shared} {version}; pmxcfs carries it to the others, and corosync reads it there"]
        return Repair("corosync-conf", cause, [writer], steps, text=corosync_file.with_version(good.text, version))
    if unknown := [node.name for node in good.conf.nodes if "quorum" in _unanswered(world, node.name)]:
        return f"corosync did not answer in time on {names(unknown)}: whether it runs is not known"
    dead = without_corosync(world, good)
    running = [node.name for node in good.conf.nodes if node.name in world.nodes and node.name not in dead]
    votes = {node.name: node.votes for node in good.conf.nodes}
    if 2 * sum(votes[name] for name in (*running, *dead)) <= corosync.expected_votes(good.conf.nodes, good.conf.device):
        return "the nodes that answer have no quorum, and without one nothing may be written: bring others back first"
    steps = [
        *(f"on {name}: /etc/corosync/corosync.conf becomes {good.told}, under version {version}" for name in dead),
        *map(_start, dead),
        f"wait until {dead[0] if dead else running[0]} is quorate",
        f"there: {shared} {version + 1}; pmxcfs carries it to the others, and corosync reads it there",
    ]
    machines = dead or running[:1]
    return Repair("corosync-conf", cause, machines, steps, text=corosync_file.with_version(good.text, version))


def _unanswered(world: World, name: str) -> list[str]:
    return world.nodes[name].unanswered if name in world.nodes else []


def _described(situation: Situation, voters: set[int]) -> last_good.Good | None:
    """What the stack file describes, if every file that is left names the same nodes, and all that vote are of them."""
    members = situation.world.expected.members
    conf = corosync.parse_conf(situation.described)
    shared = [file.text for files in situation.kept.values() for file in files.files if file.place == PVE_CONF]
    if conf is None or not shared or not all(described_conf.same_nodes(text, members) for text in shared):
        return None
    if not voters <= {node.id for node in conf.nodes}:
        return None
    return last_good.Good("the stack file", "made from it, as no node has a whole one", situation.described, conf)


def without_corosync(world: World, good: last_good.Good) -> list[str]:
    """The nodes of a configuration that answer, and on which corosync does not run."""
    return [node.name for node in good.conf.nodes if node.name in world.nodes and world.nodes[node.name].quorum is None]


# -- quorum ------------------------------------------------------------------------------------------------------------


def _quorum(situation: Situation, cause: Cause) -> Repair | str:
    """Those that are left go on without the lost ones; a call that was killed in between goes on from `pvecm expected`."""
    world = situation.world
    lost = [name for name in world.is_off if name in world.listed and not access.ways(world, name)]
    alive = [name for name in world.voting if name in world.nodes]
    if not lost or not alive or 2 * world.votes_of(alive) > world.votes_of(world.listed):
        return "every vote that is needed can be had again"
    if world.conf and world.conf.device:
        return "the cluster has a QDevice, whose vote counts, too"
    if silent := [name for name in world.listed if name not in lost and name not in alive]:
        return f"{', '.join(silent)} may be on: only nodes of which nothing is seen can be called lost"
    made, nested = world.seen.made, [name for name in lost if name in world.expected.housing]
    if there := [name for name in nested if made is None or name in made]:
        seen = "nobody can see whether its VM is gone" if made is None else "its VM is there, and can be powered on"
        return f"{there[0]} is no lost node: {seen}"
    alive = [name for name in world.listed if name in alive]
    steps = [
        f"ask for each by name whether you saw that it has no power, and it is lost for good: {', '.join(lost)}",
        f"on {', '.join(alive)}: see no vote, no answer to ping and no SSH of them",
        f"on {alive[0]}: pvecm expected {world.votes_of(alive)}, and wait for the quorum",
        "wait until HA has fenced them, and started their guests elsewhere",
        f"on {alive[0]}: pvecm delnode {', then '.join(lost)}; what /etc/pve/nodes has of them stays",
    ]
    return Repair("quorum", cause, alive[:1], steps, chosen=lost)


# -- nodes that leave --------------------------------------------------------------------------------------------------


def _reset(situation: Situation, cause: Cause) -> Repair | str:
    world, name = situation.world, cause.where
    if name in world.listed:
        return f"the cluster lists {name} already: {world.make('up')} finishes its join, which keeps more than a reset"
    if name not in world.nodes:
        return _is_closed(name)
    if not world.has_quorum:
        return f"no quorate member of {world.expected.cluster} can say that it does not list {name}"
    if why := obstacle(name, situation.guests):
        return why
    return Repair("reset", cause, [name], [*_leave(name), f"then: {world.make('up')}"])


def _split(situation: Situation, cause: Cause) -> Repair | str:
    world = situation.world
    apart = membership.those_apart(world)
    leaving = [name for name in apart if cause.where in (name, "cluster")]
    if (why := membership.undecided(world)) is not None:
        return f"{why}: a person decides which side stays"
    if why := next((why for name in leaving if (why := obstacle(name, situation.guests))), None):
        return why
    stays = [name for name in world.joined if name in world.listed]
    steps = [
        f"{names(stays)} {'stays' if len(stays) == 1 else 'stay'}: {_side(situation, stays, world.conf)}",
        *(f"{name} gives way: {_side(situation, [name], apart[name])}" for name in leaving),
        *(step for name in leaving for step in _leave(name)),
        f"then: {world.make('up')}",
    ]
    return Repair("split", cause, leaving, steps)


def _side(situation: Situation, side: list[str], file: ConfFile | None) -> str:
    """Its configuration, votes and guests, in words."""
    world, guests = situation.world, situation.guests or Guests()
    votes = max(((one.total, one.needed) for name in side if (one := world.nodes[name].quorum)), default=(0, 0))
    quorate = any(map(world.is_quorate, side))
    placed = [str(number) for number, node in guests.placed.items() if node in side]
    own = [str(number) for name in side for number in guests.configured.get(name, [])]
    return (
        f"version {file.version if file else 0} of the configuration, {'quorate' if quorate else 'without quorum'} with {votes[0]} votes of "
        f"{votes[1]} that are needed, guests {', '.join(sorted({*placed, *own})) or 'none'}"
    )


def _leave(name: str) -> list[str]:
    return [
        f"on {name}: stop corosync and HA, and take its link addresses down",
        f"on {name}: remove corosync.conf and its key with pmxcfs in local mode, start it stand-alone, and set its link addresses up again",
    ]


def obstacle(name: str, guests: Guests | None) -> str | None:
    """Why a node with guests cannot leave; None when each of them is the other side's, and runs nowhere else."""
    if guests is None or name not in guests.configured:
        return f"the guests of {name} could not be looked at"
    only = [number for number in guests.configured[name] if number not in guests.placed]
    if only:
        listed = ", ".join(map(str, only))
        return f"guests {listed} are configured on {name} only: back them up (vzdump), and remove them there"
    for sid in guests.running.get(name, []):
        number = int(sid.partition(":")[2])
        if guests.placed.get(number) != name:
            return f"{sid} runs on {name}, and the other side has it on {guests.placed.get(number, 'no node')}: stop it on {name} first"
        if sid in guests.managed:
            return f"{sid} runs on {name}, and HA of the other side is about to start it elsewhere: stop it on {name} first"
    return None


PLANNED: dict[str, Planned] = {
    "services": _services,
    "corosync-conf": _conf,
    "quorum": _quorum,
    "reset": _reset,
    "split": _split,
}
