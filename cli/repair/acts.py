"""How each repair is done: with the steps of this checkout, which look before and after they act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.repair.plan import may_be_quorate
from cluster.transport import shipped
from onnode.contract import StartServices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cli.doctor.model import World
    from cli.repair.model import Repair
    from cli.rolling.session import Session
    from cluster.transport.ssh import Connection

STEP_S = 900.0  # each step bounds itself, and says more when it does


@dataclass(frozen=True)
class Context:
    """What a repair works with: the held stack, what doctor saw, and the connections to the machines that it changes."""

    held: Session
    world: World
    opened: Mapping[str, Connection]

    async def run(self, name: str, step: str, desired: object) -> None:
        """Run a step on one of the machines."""
        await shipped.run(self.opened[name], step, desired, timeout_s=STEP_S, quiet=False)


async def _services(context: Context, repair: Repair) -> None:
    for name in repair.machines:
        wanted = StartServices(may_be_quorate(context.world, name), context.held.patience_s)
        await context.run(name, "start-services", wanted)


ACTS: dict[str, Callable[[Context, Repair], Awaitable[None]]] = {"services": _services}
