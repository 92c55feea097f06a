"""`replace`: an existing machine that was lost is waited for until it is installed again; what follows is `up`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cli import description
from cli.console import out, stage
from cli.engine import environment
from cluster.errors import AdminError
from cluster.transport import ssh
from cluster.waiting import announced
from components.site import Site
from config.model import ExistingNode

if TYPE_CHECKING:
    from cli.description import Description
    from cluster.contract import Machine

WAIT_S = 3600.0  # somebody installs it meanwhile
TELL_S = 60.0


def wait_for(stack: str, node: str) -> None:
    """Wait until the machine answers. A nested node needs no wait: `up` makes its VM.

    Args:
        stack: which.
        node: the machine's name.

    Raises:
        AdminError: node-unknown, host-unreachable, host-key-mismatch, ssh-auth-failed.
    """
    env = environment.for_engine()
    environment.put_back_state(env, stack)
    described = description.read(stack, env)
    if (machine := machine_of(described, node)) is not None:
        silence = f"  {node} does not answer at {machine.address} yet; waiting for up to {WAIT_S / 60:.0f} min"
        with stage(f"Wait for {node}"), announced(silence):
            asyncio.run(_answers(machine, described.credentials.ssh_private_key.get_secret_value()))
            out.print(f"  {node} answers at {machine.address}")


def machine_of(described: Description, node: str) -> Machine | None:
    """How the machine is reached; None for a nested node. Pure.

    Raises:
        AdminError: node-unknown.
    """
    names = [one.name for one in described.config.nodes]
    found = next((one for one in described.config.nodes if one.name == node), None)
    if found is None:
        raise AdminError(
            "node-unknown",
            f"no node {node} is described, so none is replaced",
            observed=f"nodes of stack {described.stack}: {', '.join(names)}",
            expected="one of them",
        )
    site = Site(described.config, described.credentials, described.stack)
    return site.machine(found) if isinstance(found, ExistingNode) else None


async def _answers(machine: Machine, key: str) -> None:
    """Try to log in until somebody answers; who answers with another key, or lets nobody in, is named at once."""
    for minute in range(1, int(WAIT_S / TELL_S) + 1):
        try:
            async with ssh.connect(machine, key, timeout_s=TELL_S):
                return
        except AdminError as error:
            if error.code != "host-unreachable" or minute * TELL_S >= WAIT_S:
                raise
        waited = f"{minute * TELL_S / 60:.0f} of {WAIT_S / 60:.0f} min"
        out.print(f"  {machine.name} does not answer at {machine.address} yet ({waited})", markup=False, soft_wrap=True)
