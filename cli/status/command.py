"""`status`: look at every node, compare, and show."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from cli import chronicle, description
from cli.console import out
from cli.drift import look as drift
from cli.engine import engine, environment
from cli.state import changeover, outer_vms, site_instance
from cli.status import table
from cli.status.look import CONNECT_S, look
from cli.status.model import Wanted, WantedGuest
from cli.status.verdict import asked_for, behind_ones_back, beneath, findings, passing, under_silence, without_taken
from cluster.errors import AdminError
from cluster.transport import members
from components.site import Site
from config import topology
from config.model import NfsStorage
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.description import Description
    from cli.drift.model import Drift
    from cli.drift.questions import State
    from cli.status.look import NodeStatuses
    from cli.status.model import Finding


LOOK_AGAIN_S = 2.0


def status(stack: str, *, as_json: bool, patience_s: float = 0, drifted: Sequence[Drift] | None = None) -> None:
    """Look at every node, and show it.

    Args:
        stack: which.
        as_json: for programs.
        patience_s: for how long to look again before a finding is shown.
        drifted: what drifted, if the caller has just looked; None: look for it.

    Raises:
        AdminError: the description cannot be read; site-in-use, site-is-new; not-as-described, after everything is shown.
    """
    env = environment.for_engine()
    environment.put_back_state(env, stack)
    described = description.read(stack, env)
    site_instance.refuse_shared(stack, environment.file_backend(env))
    wanted = wanted_of(described)
    state = engine.Engine(stack, env).export() if drifted is None else None
    if state is not None:
        site_instance.refuse_gone(state)
    state = state and changeover.with_todays_steps(state)  # else the steps of an earlier version are not looked at
    # A run that has just ended made every node.
    made = outer_vms.recorded(state)
    unrecorded = {node.name for node in outer_vms.nested_nodes(described) if drifted is None and node.vmid not in made}
    deadline, announced = time.monotonic() + patience_s, False
    while True:
        seen, differing, silent = asyncio.run(_look(described, wanted, state))
        differing = differing if drifted is None else [*drifted]
        found = findings(without_taken(wanted, differing), seen, differing, unrecorded)
        found = beneath(found, silent, nested(described))
        found += behind_ones_back(wanted.stack, differing, found)
        if not found or time.monotonic() >= deadline:
            break
        if not announced:
            first = f"{found[0].where}: {found[0].what}"
            out.print(f"  not as described yet ({first}); looking again for up to {patience_s:g} s", markup=False)
            announced = True
        time.sleep(LOOK_AGAIN_S)
    notes = passing(differing) + asked_for(wanted, seen)
    _note(seen, found, notes)
    if as_json:
        out.print_json(data=table.as_json(seen, found, notes))
    else:
        table.show(out, wanted, seen, found, notes)
    if found:
        count = f"{len(found)} finding{'s' if len(found) > 1 else ''}"
        raise AdminError("not-as-described", f"the cluster of stack {stack} is not as described", observed=count)


def _note(seen: NodeStatuses, found: Sequence[Finding], notes: Sequence[Finding]) -> None:
    """For the report of the run that ends with this look."""
    kept = chronicle.current()
    kept.looked({name: one if isinstance(one, StepError) else one.health for name, one in seen.items()})
    kept.findings = [chronicle.Remark(one.where, one.what, one.next) for one in found]
    kept.passing = [chronicle.Remark(one.where, one.what, one.next) for one in notes]


async def _look(
    described: Description, wanted: Wanted, state: State | None
) -> tuple[NodeStatuses, list[Drift], dict[str, StepError]]:
    """Look at the members and at everything that is recorded, over the same connections.

    Returns the statuses, what drifted, and the outer hosts that do not answer and whose nodes do not answer, either.
    """
    hosts, nodes = drift.machines(described)
    recorded = state is not None and bool(state["deployment"].get("resources"))
    key = described.credentials.ssh_private_key.get_secret_value()
    async with members.connections([*hosts, *nodes] if recorded else nodes, key, timeout_s=CONNECT_S) as opened:
        of_members = {name: connection for name, connection in opened.items() if name not in {h.name for h in hosts}}
        seen, found = await asyncio.gather(
            look(of_members, storages=bool(wanted.storages)),
            drift.over(opened, described, state) if recorded and state is not None else _nothing(),
        )
        names = under_silence(seen, nested(described))
        unasked = [host for host in hosts if host.name in names and host.name not in opened]
        async with members.connections(unasked, key, timeout_s=CONNECT_S) as more:
            answers = {**opened, **more}
    return seen, found.drifted, {name: one for name in names if isinstance(one := answers[name], StepError)}


def nested(described: Description) -> dict[str, str]:
    """The outer host of each node that is a VM."""
    return {node.name: node.host for node in outer_vms.nested_nodes(described)}


async def _nothing() -> drift.Found:
    return drift.Found()


def wanted_of(described: Description) -> Wanted:
    """What the stack file makes `status` look for."""
    config = described.config
    guests = [
        WantedGuest(
            guest.name,
            topology.sid(guest),
            guest.ha.state,
            topology.placement_nodes(guest),
        )
        for guest in config.guests
    ]
    members = Site(config, described.credentials, described.stack).members
    storages = sorted(storage.name for storage in config.storages)
    servers = {storage.name: storage.server for storage in config.storages if isinstance(storage, NfsStorage)}
    device = topology.device(config)
    return Wanted(described.stack, config.cluster.name, config.pve_major, members, storages, guests, servers, device)
