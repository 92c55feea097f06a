"""`reset`: an existing machine that left its cluster is stand-alone again, without a new installation."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cli import description
from cli.console import out, stage
from cli.engine import engine, environment
from cli.run import confirmation
from cli.state import remembered
from cluster import claims
from cluster.errors import AdminError
from cluster.planning import known
from cluster.reports import read
from cluster.transport import members, shipped
from components.site import Site
from config.model import ExistingNode
from onnode.cluster.reset import BACKUPS
from onnode.contract.membership import MembershipReport
from onnode.contract.removal import ResetNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from cli.description import Description
    from cluster.contract import Machine
    from cluster.transport.ssh import Connection

STEP_S = 600.0
LOOK_S = 60.0


def reset(stack: str, node: str, *, yes: bool) -> None:
    """Make a machine stand-alone.

    Args:
        stack: the one whose cluster it left.
        node: its name.
        yes: ask nobody; a node that is quorate by itself is left alone then.

    Raises:
        AdminError: node-unknown, cluster-not-visible, still-a-member, not-confirmed.
        StepError: works-alone, why the machine did not answer, and what the step on it refuses.
    """
    env = environment.for_engine()
    environment.put_back_state(env, stack)
    described = description.read(stack, env)
    machine = machine_of(described, engine.Engine(stack, env).export(), node)
    apart = [] if yes else _confirmed(asyncio.run(_look(described, machine)))
    with stage(f"Reset of {node}"):
        changed = asyncio.run(_reset(described, machine, apart))
        out.print(f"  {node} is stand-alone{'' if changed else ' already'}")


def machine_of(described: Description, state: Mapping[str, Any] | None, node: str) -> Machine:
    """How the machine is reached: as it is described, or as it was remembered when it left. Pure.

    Raises:
        AdminError: node-unknown.
    """
    site = Site(described.config, described.credentials, described.stack)
    own = next((one for one in described.config.nodes if one.name == node and isinstance(one, ExistingNode)), None)
    if own is not None:
        return site.machine(own)
    departed = known.known(remembered.facts(state, "remove-members"), "departed")
    machine = departed[node].machine if node in departed else None
    if machine is None:
        names = sorted({*departed, *(one.name for one in described.config.nodes if isinstance(one, ExistingNode))})
        raise AdminError(
            "node-unknown",
            f"no machine {node} can be reset",
            observed=f"existing machines that are described or left: {', '.join(names) or 'none'}",
            expected="one of them",
        )
    return machine


def _confirmed(look: MembershipReport) -> list[int]:
    """Ask for the reset of a node; the ids with which it may be quorate: its own, if a person gave it up by its name.

    Raises:
        AdminError: not-confirmed.
    """
    if not look.quorate:
        confirmation.confirm(f"Take {look.node} out of its cluster's configuration for good? Its own files stay.")
        return []
    confirmation.confirm_by_name(quorate_question(look), look.node)
    return [voter.id for voter in look.quorum.members if voter.local] if look.quorum else []


def quorate_question(look: MembershipReport) -> str:
    """What a reset of a quorate node takes away; pure."""
    others = ", ".join(one.name for one in look.nodes if one.name != look.node)
    return (
        f"{look.node} is quorate: it works as cluster {look.cluster}, which lists {others or 'no other node'}. Others may use it. "
        f"What only its /etc/pve has (users, storages, jobs, rules of the firewall and of HA) is lost; a copy of the database stays in "
        f"{BACKUPS} there."
    )


@asynccontextmanager
async def _reached(described: Description, machine: Machine) -> AsyncIterator[Connection]:
    """A connection to the machine, once the others have said that it is no member."""
    site = Site(described.config, described.credentials, described.stack)
    others = [one for one in site.machines if one.name != machine.name]
    key = described.credentials.ssh_private_key.get_secret_value()
    async with members.connections([machine, *others], key) as opened:
        itself = members.connected(opened, machine.name)
        answers = await members.ask({one.name: opened[one.name] for one in others}, membership)
        refuse_member(machine.name, described.config.cluster.name, members.answered(answers))
        yield itself


async def _look(described: Description, machine: Machine) -> MembershipReport:
    async with _reached(described, machine) as itself:
        return await membership(itself)


async def _reset(described: Description, machine: Machine, apart: list[int]) -> bool:
    wanted = ResetNode(described.config.cluster.name, apart)
    async with _reached(described, machine) as itself:
        done = await shipped.run(itself, "reset-node", wanted, timeout_s=STEP_S, quiet=False)
        if machine.name not in {node.name for node in described.config.nodes}:
            await itself.run(claims.leave(described.stack), timeout_s=LOOK_S)
    return done.changed


async def membership(connection: Connection) -> MembershipReport:
    """What a node says of its cluster, by the package of this checkout."""
    result = await shipped.run(connection, "membership", None, timeout_s=LOOK_S)
    return read(MembershipReport, connection.machine.name, result.facts)


def refuse_member(node: str, cluster: str, seen: Mapping[str, MembershipReport]) -> None:
    """Refuse a machine that the cluster lists, or of which nobody can say so; pure.

    Args:
        node: the machine.
        cluster: the name of the one that it left; members of another one do not list it, whatever it is.
        seen: what the other described nodes say.

    Raises:
        AdminError: cluster-not-visible, still-a-member.
    """
    working = [look for look in seen.values() if look.works and look.cluster == cluster]
    if not working:
        raise AdminError(
            "cluster-not-visible",
            f"no working member can say whether {node} left the cluster",
            observed="answering: "
            + (", ".join(f"{name} of {look.cluster or 'no cluster'}" for name, look in sorted(seen.items())) or "none"),
            expected=f"a quorate member of {cluster} that answers",
        )
    if listing := sorted(name for name, look in seen.items() if look.listed(node)):
        raise AdminError(
            "still-a-member",
            f"{node} is a member of the cluster",
            observed=f"{', '.join(listing)} list it",
            expected="a node that left",
        )
