"""Bridges that a killed run wrote into a host's planned network configuration, and never brought up.

Proxmox VE then lists the interface, and the provider would take it for an existing one. So the plan is taken back, and the run makes the
bridge.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from cli.console import out
from cli.looks import whereabouts
from cluster import proxmox_ve
from cluster.errors import AdminError
from cluster.transport import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.description import Description
    from cli.state.belongings import DescribedThing
    from cluster.transport.ssh import Connection

WITHDRAW_S = 60.0


def withdraw(description: Description, bridges: Sequence[DescribedThing]) -> None:
    """Take these bridges out of what is planned on their hosts.

    Raises:
        AdminError: command-failed, and those of SSH.
    """
    by_host = defaultdict(list)
    for bridge in bridges:
        by_host[bridge.place].append(bridge.name)
    if by_host:
        asyncio.run(_withdraw(description, by_host))


async def _withdraw(description: Description, by_host: dict[str, list[str]]) -> None:
    machines = [machine for machine in whereabouts.outer_machines(description) if machine.name in by_host]

    async def take_back(connection: Connection) -> None:
        for name in by_host[connection.machine.name]:
            done = await connection.run(proxmox_ve.withdraw_bridge(name), timeout_s=WITHDRAW_S)
            if done.exit_code != 0:
                raise AdminError(
                    "command-failed",
                    f"bridge {name} of {connection.machine.name} is planned, and the plan cannot be taken back",
                    observed=done.stderr.strip() or f"exit {done.exit_code}",
                    expected="no planned bridge of that name",
                )
            out.print(f"  {name} on {connection.machine.name} was planned and never brought up: taken back")

    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=whereabouts.CONNECT_S) as opened:
        members.all_answered(await members.ask(opened, take_back))
