"""What doctor does not look at, and a repair needs: texts of corosync.conf, and where guests are."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from cli import reset
from cli.repair import described_conf
from cli.repair.model import Guests
from cluster.reports import read
from cluster.transport import members, shipped
from components.site import Site
from onnode.contract.guests import RunningGuests
from onnode.contract.membership import Membership
from onnode.contract.repair import KeptConfs
from onnode.errors import StepError

if TYPE_CHECKING:
    from cli.doctor.model import World
    from cli.rolling.session import Session
    from cluster.transport.ssh import Connection

LOOK_S = 60.0


def standing(world: World) -> dict[str, Membership | StepError]:
    """How each node stands in its cluster, for the report of the run: what doctor saw, and no further look. Pure."""
    silent = {
        name: StepError(one.code, f"{name} does not answer", observed=one.observed, fix=one.next or "make doctor")
        for name, one in world.seen.silent.items()
        if name in world.members
    }
    return {**{name: _member(world, name) for name in world.nodes}, **silent}


def _member(world: World, name: str) -> Membership:
    report = world.nodes[name]
    conf = world.conf_of(name)
    return Membership(
        name,
        "member" if name in world.configured else "absent",
        cluster=conf.cluster if conf else None,
        config_version=conf.version if conf else None,
        nodes=conf.nodes if conf else [],
        device=conf.device if conf else None,
        quorate=world.is_quorate(name),
        quorum=report.quorum,
        links=report.links,
        pve_mounted=report.pve == "mounted",
        pve_writable=report.pve_writable,
    )


async def kept(held: Session, world: World) -> dict[str, KeptConfs]:
    """Every corosync.conf that a node has which answers."""

    async def ask(connection: Connection) -> KeptConfs:
        done = await shipped.run(connection, "corosync-files", None, timeout_s=LOOK_S)
        return read(KeptConfs, connection.machine.name, done.facts)

    async with members.connections([held.member(name) for name in world.joined], held.key) as opened:
        return members.answered(await members.ask(opened, ask))


def described(held: Session) -> str:
    """The corosync.conf of the stack file; empty with a QDevice, whose section only `make up` writes."""
    change = Site(held.described.config, held.described.credentials, held.stack).change
    return "" if change.witness else described_conf.write(change.cluster, change.members, change.totem)


async def guests(held: Session, world: World) -> Guests | None:
    """Where the newest configuration's side has its guests, and what the nodes have that it does not list."""
    leaving = [name for name, report in world.nodes.items() if name not in world.listed and report.version]
    if world.newest is None:
        return None
    machines = [held.member(name) for name in (world.newest, *leaving) if name in world.nodes]
    try:
        async with members.connections(machines, held.key) as opened:
            listed = members.connected(opened, world.newest)
            said = await listed.run("cat /etc/pve/.vmlist", timeout_s=LOOK_S)
            found = await asyncio.gather(*(_of(members.connected(opened, name)) for name in leaving))
    except StepError:
        return None
    ha = world.nodes[world.newest].ha
    return Guests(
        placed(said.stdout),
        {name: numbers for name, (numbers, _) in zip(leaving, found, strict=True)},
        {name: sids for name, (_, sids) in zip(leaving, found, strict=True)},
        sorted(ha.services) if ha else [],
    )


async def _of(connection: Connection) -> tuple[list[int], list[str]]:
    seen, done = await asyncio.gather(
        reset.membership(connection), shipped.run(connection, "running-guests", None, timeout_s=LOOK_S)
    )
    running = read(RunningGuests, connection.machine.name, done.facts).guests
    return seen.guests, [one.sid for one in running]


def placed(text: str) -> dict[int, str]:
    """Read `/etc/pve/.vmlist`: the node of each guest. Pure."""
    try:
        ids: dict[str, dict[str, Any]] = json.loads(text).get("ids") or {}
    except ValueError:
        return {}
    return {int(number): str(one["node"]) for number, one in ids.items()}
