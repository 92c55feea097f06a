"""Guests of others on nested nodes: they would go with the nodes' VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import AdminError
from cluster.marks import CONTAINER, VM
from config import topology
from config.model import NestedNode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cluster.marks import Look, Thing
    from config.model import Config


def of_stack(config: Config, looks: Iterable[Look]) -> None:
    """Refuse to destroy a stack while one of its nested nodes has such a guest. Pure.

    Args:
        config: which nodes are nested; existing machines stay, and their guests with them. Guests that are to be kept count as those
            of others do.
        looks: what the nodes show of the whole cluster.

    Raises:
        AdminError: guests-inside.
    """
    nested = {node.name for node in config.nodes if isinstance(node, NestedNode)}
    things = _guests(looks)
    kept = {str(guest.vmid): guest.name for _, guest in topology.made_guests(config) if guest.keep}
    found = sorted(thing.shown for thing in things if thing.node in nested and thing.ours and thing.name in kept)
    if found:
        raise AdminError(
            "guests-inside",
            "destroying the nodes would destroy guests that are described with keep",
            observed="; ".join(found),
            expected="no guest with keep on a nested node",
            fix="back them up and restore them elsewhere; then take keep out of the stack file, run `make up`, and this again",
        )
    refuse(nested, looks)


def _guests(looks: Iterable[Look]) -> set[Thing]:
    return {thing for seen in looks for thing in seen.things if thing.kind in (VM, CONTAINER)}


def refuse(going: Collection[str], looks: Iterable[Look]) -> None:
    """Refuse to destroy these nodes while one of them has a guest that the stack did not make. Pure.

    Raises:
        AdminError: guests-inside.
    """
    found = sorted(thing.shown for thing in _guests(looks) if thing.node in going and not thing.ours)
    if found:
        raise AdminError(
            "guests-inside",
            "destroying the nodes would destroy guests that this stack did not make",
            observed="; ".join(found),
            expected="only this stack's guests on its nested nodes",
        )
