"""The look at the machines that every run begins with, and the wait for guests that move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cli.console import out
from cli.looks import dead_nodes, first_look, settling
from cluster.rolling import MAINTENANCE

if TYPE_CHECKING:
    from cli.looks.first_look import FirstLook
    from cli.run.loaded import LoadedStack


def at_machines(loaded: LoadedStack, *, drifted: bool = True, all_hosts: bool = True) -> tuple[LoadedStack, FirstLook]:
    """Look at every machine; the stack with what they showed, and with what the engine may trust.

    Args:
        loaded: the stack.
        drifted: ask for what drifted, too.
        all_hosts: an outer host that does not answer is an error.

    Raises:
        StepError: as :func:`cli.looks.first_look.look`.
    """
    seen = first_look.look(loaded.description, loaded.state, drifted=drifted, all_hosts=all_hosts)
    return replace(loaded.trusting(seen.trusted), looks=seen.looks), seen


def let_guests_settle(loaded: LoadedStack, seen: FirstLook) -> None:
    """Wait until guests stay where they are: the refresh asks for each at the node that had it a moment ago."""
    dead_nodes.wait_for_recovery(loaded.description, loaded.state)
    settling.wait(loaded.description, loaded.state, seen.cluster)


def tell_maintenance(seen: FirstLook) -> None:
    """Say which nodes are in maintenance: what a run makes for them, HA takes away at once."""
    states = next((look.motion.seen for look in seen.cluster.looks if look.cluster), {})
    for name in sorted(name for name, state in states.items() if state == MAINTENANCE):
        out.print(f"  {name} is in maintenance: HA gives it no guests until `make undrain NODE={name}`", markup=False)
