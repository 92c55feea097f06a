"""Guests of others on nested nodes: they would go with the nodes' VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import AdminError
from cluster.marks import CONTAINER, VM
from config.model import NestedNode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cluster.marks import Look
    from config import Config


def of_stack(config: Config, looks: Iterable[Look]) -> None:
    """Refuse to destroy a stack while one of its nested nodes has such a guest. Pure.

    Args:
        config: which nodes are nested; existing machines stay, and their guests with them.
        looks: what the nodes show of the whole cluster.

    Raises:
        AdminError: guests-inside.
    """
    refuse({node.name for node in config.nodes if isinstance(node, NestedNode)}, looks)


def refuse(going: Collection[str], looks: Iterable[Look]) -> None:
    """Refuse to destroy these nodes while one of them has a guest that the stack did not make. Pure.

    Raises:
        AdminError: guests-inside.
    """
    things = {thing for seen in looks for thing in seen.things if thing.kind in (VM, CONTAINER)}
    found = sorted(thing.shown for thing in things if thing.node in going and not thing.ours)
    if found:
        raise AdminError(
            "guests-inside",
            "destroying the nodes would destroy guests that this stack did not make",
            observed="; ".join(found),
            expected="only this stack's guests on its nested nodes",
        )
