"""How each repair is done: with the steps of this checkout, which look before and after they act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli import reset
from cli.repair.plan import may_be_quorate
from cluster import replacing
from cluster.reports import read
from cluster.transport import members, shipped
from onnode.cluster import corosync, corosync_file, membership
from onnode.contract.corosync import CorosyncConfig
from onnode.contract.removal import ResetNode
from onnode.contract.repair import CorosyncFile, ExpectVotes, KeptConfs, StartServices
from onnode.system import originals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from cli.doctor.model import World
    from cli.repair.model import Guests, Repair
    from cli.rolling.session import Session
    from cluster.transport.ssh import Connection

    Act = Callable[["Context", Repair], Coroutine[Any, Any, None]]

LOOK_S = 60.0
STEP_S = 900.0  # each step bounds itself, and says more when it does


@dataclass(frozen=True)
class Context:
    """What a repair works with: the held stack, what was seen, and the connections to the machines that it changes."""

    held: Session
    world: World
    guests: Guests | None
    opened: Mapping[str, Connection]

    async def run(self, name: str, step: str, desired: object) -> None:
        """Run a step on one of the machines."""
        await shipped.run(self.opened[name], step, desired, timeout_s=STEP_S, quiet=False)


async def _services(context: Context, repair: Repair) -> None:
    for name in repair.machines:
        wanted = StartServices(may_be_quorate(context.world, name), context.held.patience_s)
        await context.run(name, "start-services", wanted)


async def _conf(context: Context, repair: Repair) -> None:
    """The node's own file; for the cluster's, the files of nodes without corosync first, so that there is a quorum to write with."""
    world, shared = context.world, repair.cause.name in ("shared-conf-broken", "shared-conf-older")
    quorate = shared and any(map(world.is_quorate, repair.machines))
    to_start = [] if quorate else repair.machines
    for name in to_start:
        await context.run(name, "restore-corosync", CorosyncFile(repair.text))
    # At once: none of them may be quorate without the others.
    waits = shared or all(may_be_quorate(world, name) for name in to_start)
    wanted = StartServices(waits, context.held.patience_s)

    async def start(connection: Connection) -> None:
        await context.run(connection.machine.name, "start-services", wanted)

    members.all_answered(await members.ask({name: context.opened[name] for name in to_start}, start, waiting=""))
    if shared:
        await _replace_shared(context, repair.machines[0], repair.text if quorate else _raised(repair.text))


def _raised(text: str) -> str:
    """Under the next version: pmxcfs carries it over the files that were just written."""
    conf = corosync.parse_conf(text)
    return corosync_file.with_version(text, conf.version + 1 if conf else 1)


async def _replace_shared(context: Context, name: str, text: str) -> None:
    done = await shipped.run(context.opened[name], "corosync-files", None, timeout_s=LOOK_S)
    files = read(KeptConfs, name, done.facts).files
    broken = next((file.text for file in files if file.place == membership.PVE_CONF), "")
    await context.run(name, "edit-corosync", CorosyncConfig(text, originals.fingerprint(broken)))


async def _quorum(context: Context, repair: Repair) -> None:
    """Those that are left must all see that the lost ones are gone, also at each single release."""
    world, here = context.world, context.opened[repair.machines[0]]
    alive = [context.held.member(name) for name in world.listed if name in world.voting]
    lost = [(world.listed[name], _addresses(world, name)) for name in repair.chosen]
    async with members.connections(alive, context.held.key) as opened:
        for listed, addresses in lost:
            await replacing.refuse_seen(opened, listed, addresses)
        votes = world.votes_of(member.name for member in alive)
        wanted = ExpectVotes(votes, [listed.id for listed, _ in lost], context.held.patience_s)
        for listed, addresses in lost:
            # Again before each: with every entry that goes, corosync expects the votes of all that are still listed.
            await context.run(here.machine.name, "expect-votes", wanted)
            await replacing.forget(here, opened, listed, addresses)


def _addresses(world: World, name: str) -> list[str]:
    return sorted({world.address(name), *world.listed[name].links.values()})


async def _leave(context: Context, repair: Repair) -> None:
    """No working member of the side that stays lists them; each is cut off from it before anything else."""
    world, leaving = context.world, repair.machines
    stays = [context.held.member(name) for name in world.joined if name in world.listed and name not in leaving]
    async with members.connections(stays, context.held.key) as opened:
        seen = members.answered(await members.ask(opened, reset.membership))
        for name in leaving:
            reset.refuse_member(name, world.expected.cluster, seen)
    own = {
        voter.id for name in leaving if (quorum := world.nodes[name].quorum) for voter in quorum.members if voter.local
    }
    guests = context.guests.configured if context.guests else {}
    for name in leaving:
        wanted = ResetNode(world.expected.cluster, sorted(own), guests.get(name, []))
        await context.run(name, "reset-node", wanted)


ACTS: dict[str, Act] = {
    "services": _services,
    "corosync-conf": _conf,
    "quorum": _quorum,
    "reset": _leave,
    "split": _leave,
}
