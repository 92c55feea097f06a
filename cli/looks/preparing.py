"""What the engine needs before it starts: nested nodes with power, members that vote, and the user of the cluster's API.

Their steps are run from here. A run of the engine on these resources only (`--target`) would run the whole program, and fail at
whatever else the stack file changes: at what was taken out of it, and at what depends on something new. A step never destroys
or replaces anything, and the run that follows records what it did.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from cli.drift import power
from cluster import catching_up
from cluster.errors import AdminError
from cluster.reports import read
from cluster.transport import members, shipped
from components.site import Site
from config.model import NestedNode
from onnode.contract.formation import ApiUser
from onnode.contract.membership import MembershipReport
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from cli.description import Description
    from cluster.marks import Look
    from cluster.transport.nodes import StepResult
    from cluster.transport.ssh import Connection
    from onnode.contract.host import VmPower

USER_S = 180.0
CONNECT_S = 5.0
LOOK_S = 60.0
BOOT_S = 10.0  # corosync of a node that has just come up may have no quorum yet
START_S = 300.0  # beside the time in which the node is to answer


def start(description: Description, installations: Collection[str]) -> None:
    """Start nodes and wait until they answer.

    Args:
        description: which nodes there are.
        installations: the names of the resources that installed these.

    Raises:
        StepError: that of the step, or of SSH.
    """
    nodes = [
        node
        for node in description.config.nodes
        if isinstance(node, NestedNode) and f"{node.name}-install" in installations
    ]
    asyncio.run(_start(description, nodes))


async def _start(description: Description, nodes: Iterable[NestedNode]) -> None:
    by_host = defaultdict(list)
    for node in nodes:
        by_host[node.host].append(power.powered(description, node))

    async def started(connection: Connection) -> None:
        at_once = (_started(connection, one) for one in by_host[connection.machine.name])
        members.raise_first(await asyncio.gather(*at_once))

    site = _site(description)
    hosts = [site.machine(host) for host in description.config.outer_hosts if host.name in by_host]
    async with members.connections(hosts, _key(description)) as opened:
        members.all_answered(await members.ask(opened, started, waiting=""))


async def _started(connection: Connection, wanted: VmPower) -> StepResult | StepError:
    """Start a node; an error is returned, so that it does not end the start of others."""
    try:
        return await shipped.run(connection, "vm-power", wanted, timeout_s=wanted.timeout_s + START_S)
    except StepError as error:
        return error


def put_access_back(description: Description, looks: Sequence[Look]) -> bool:
    """Make the API's user as it is described; returns whether that changed anything.

    Args:
        description: of the user.
        looks: what the nodes show that may speak for the cluster.

    Raises:
        StepError: member-not-working, that of the step, or of SSH.
    """
    return asyncio.run(_put_access_back(description, looks))


async def _put_access_back(description: Description, looks: Sequence[Look]) -> bool:
    site, cluster = _site(description), description.config.cluster
    # Members only: before there is a cluster, other machines may speak for it, too; here they would be about to join.
    speaking = {look.machine for look in looks if look.quorate and look.cluster == cluster.name}
    password = description.credentials.api_password.get_secret_value()
    wanted = ApiUser(site.stack_tag, cluster.api.user, password, cluster.api.role)
    able = [machine for machine in site.machines if machine.name in speaking]
    async with members.connections(able, _key(description)) as opened:
        connection = next((one for one in members.answered(opened).values()), None)
        if connection is None:
            members.raise_first(opened.values())
            raise AdminError("member-not-working", "no member is quorate", observed="none", expected="a quorate member")
        return (await shipped.run(connection, "api-user", wanted, timeout_s=USER_S, quiet=False)).changed


def behind(description: Description) -> list[str]:
    """The members that were off when the cluster changed, and cannot get its corosync.conf by themselves.

    Raises:
        StepError: as :func:`cluster.catching_up.late`.
    """
    return asyncio.run(_behind(description))


async def _behind(description: Description) -> list[str]:
    name = description.config.cluster.name
    async with members.connections(_site(description).machines, _key(description), timeout_s=CONNECT_S) as opened:
        found = await catching_up.late(name, opened, await members.ask(opened, _membership))
        if found is not None:
            await asyncio.sleep(BOOT_S)
            found = await catching_up.late(name, opened, await members.ask(opened, _membership))
    return found.names if found else []


async def _membership(connection: Connection) -> MembershipReport:
    done = await shipped.run(connection, "membership", None, timeout_s=LOOK_S)
    return read(MembershipReport, connection.machine.name, done.facts)


def catch_up(description: Description) -> bool:
    """Give it to them; returns whether that changed anything.

    Raises:
        StepError: as :func:`cluster.catching_up.catch_up`.
    """
    return asyncio.run(_catch_up(description))


async def _catch_up(description: Description) -> bool:
    cluster = description.config.cluster
    async with members.connections(_site(description).machines, _key(description), timeout_s=CONNECT_S) as opened:
        answers = await members.ask(opened, _membership)
        return await catching_up.catch_up(cluster.name, opened, answers, cluster.timeout_s)


def _site(description: Description) -> Site:
    return Site(description.config, description.credentials, description.stack)


def _key(description: Description) -> str:
    return description.credentials.ssh_private_key.get_secret_value()
