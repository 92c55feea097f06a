"""What a rolling command works with: the stack's description, a hold on the stack, and looks at the whole cluster."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli import chronicle, description
from cli.backend.held import held
from cli.console import out
from cli.engine import environment
from cli.run import confirmation, loading
from cli.state import site_instance
from cluster import proxmox_ve, rolling
from cluster.errors import AdminError
from cluster.reports import read
from cluster.transport import members, shipped
from cluster.waiting import until_async
from components.site import Site
from onnode.contract.guests import RunningGuests
from onnode.contract.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.description import Description
    from cluster.contract import Member
    from cluster.marks import Look
    from cluster.rolling import View
    from cluster.transport.nodes import StepResult
    from cluster.transport.ssh import Connection

CONNECT_S = 5.0
LOOK_S = 60.0
POLL_S = 2.0
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Session:
    """A stack that is held."""

    described: Description
    members: Sequence[Member]
    key: str

    @property
    def stack(self) -> str:
        """Its name."""
        return self.described.stack

    @property
    def patience_s(self) -> int:
        """For what the cluster does by itself: votes, links, HA."""
        return self.described.config.cluster.timeout_s

    def member(self, name: str) -> Member:
        """A node of the stack.

        Raises:
            AdminError: node-unknown.
        """
        found = next((one for one in self.members if one.name == name), None)
        if found is None:
            names = ", ".join(one.name for one in self.members)
            raise AdminError("node-unknown", f"stack {self.stack} has no node {name}", observed=name, expected=names)
        return found

    async def look(self) -> View:
        """The whole cluster, now."""
        async with members.connections(self.members, self.key, timeout_s=CONNECT_S) as opened:
            seen, looks = await asyncio.gather(
                members.ask(opened, _health), members.ask(opened, self._motion, waiting="")
            )
        chronicle.current().looked(seen)
        quorate = {name: look.motion for name, look in members.answered(looks).items() if look.quorate and look.cluster}
        return rolling.View(self.described.config.cluster.name, self.members, seen, quorate)

    async def _motion(self, connection: Connection) -> Look:
        return await proxmox_ve.look(connection, self.stack)

    async def settled(self, leaving: str | None, patience_s: float | None = None) -> View:
        """Look until nothing speaks against taking this node away, for a bounded time; refuse at once without quorum.

        Args:
            leaving: the node; None for none.
            patience_s: how long; None: as long as the stack file gives the cluster.

        Raises:
            AdminError: not-settled, quorum-needed, node-in-maintenance.
        """
        announced = False

        async def looked() -> View:
            nonlocal announced
            view = await self.look()
            rolling.refuse_two_away(view, leaving)
            found = rolling.findings(view)
            if found and not announced:
                announced = True
                out.print(f"  waiting until the cluster is well: {'; '.join(found)}", markup=False, soft_wrap=True)
            return view

        view = await until_async(
            looked,
            lambda view: not rolling.findings(view),
            timeout_s=self.patience_s if patience_s is None else patience_s,
            poll_s=POLL_S,
        )
        if found := rolling.findings(view):
            raise AdminError(
                "not-settled",
                f"the cluster is not well{f', so {leaving} is not touched' if leaving else ''}",
                observed="; ".join(found),
                expected="all nodes, votes and links there, and HA at rest",
            )
        if leaving:
            rolling.refuse_without_quorum(view, leaving)
        return view

    async def run(self, name: str, step: str, desired: object, *, timeout_s: float, quiet: bool = False) -> StepResult:
        """Run a step on one node, with the package of this checkout."""
        async with members.connections([self.member(name)], self.key) as opened:
            return await shipped.run(members.connected(opened, name), step, desired, timeout_s=timeout_s, quiet=quiet)

    async def boot_id(self, name: str) -> str:
        """What a node's boot is called; another one after each reboot.

        Raises:
            AdminError: those of SSH.
        """
        async with members.connections([self.member(name)], self.key, timeout_s=CONNECT_S) as opened:
            return (await members.connected(opened, name).run(BOOT_ID, timeout_s=LOOK_S)).stdout.strip()

    async def guests(self, name: str) -> RunningGuests:
        """The guests that run on a node."""
        result = await self.run(name, "running-guests", None, timeout_s=LOOK_S, quiet=True)
        return read(RunningGuests, name, result.facts)


async def _health(connection: Connection) -> Health:
    result = await shipped.run(connection, "cluster-health", None, timeout_s=LOOK_S)
    return read(Health, connection.machine.name, result.facts)


@contextmanager
def opened(stack: str) -> Iterator[Session]:
    """Read a stack's description, and hold the stack as a run of the engine does.

    A state that is kept elsewhere than in files is not held: nothing of it is read or changed here.

    Raises:
        AdminError: the description cannot be read; stack-locked, site-in-use.
    """
    env = environment.for_engine()
    backend = environment.file_backend(env)
    if backend:
        loading.make_readable(backend, stack, confirmation.confirm)
    described = description.read(stack, env)
    site_instance.refuse_shared(stack, backend)
    site = Site(described.config, described.credentials, stack)
    with held(backend, stack) if backend else nullcontext():
        yield Session(described, site.members, described.credentials.ssh_private_key.get_secret_value())
