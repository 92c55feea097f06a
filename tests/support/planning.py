"""Clusters in short, for cases and examples of the planner; tests/cases/planning/README.md has the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.planning.model import Seen, Shape
from onnode.cluster.corosync import ConfNode

if TYPE_CHECKING:
    from collections.abc import Mapping

LINKS = (0, 1)


def shape(given: Any) -> Shape:  # noqa: ANN401 - a number, a list, or a mapping with either under `nodes`
    """A cluster."""
    form: Mapping[str, Any] = given if isinstance(given, dict) else {"nodes": given}
    nodes = form["nodes"] if isinstance(form["nodes"], list) else [f"pve{n}" for n in range(1, form["nodes"] + 1)]
    listed = [node(text, form.get("links", LINKS)) for text in nodes]
    return Shape(
        form.get("cluster", "proxmox"),
        {one.name: one for one in listed},
        form.get("priorities", {}),
        form.get("totem", {}),
        form.get("witness"),
    )


def node(text: str, links: Any = LINKS) -> ConfNode:  # noqa: ANN401 - as YAML gives it
    """A node: `pve2`, `pve2 votes=2`, `new id=4 1=10.1.0.99`."""
    name, *settings = text.split()
    given = dict(setting.split("=") for setting in settings)
    number = int(given.get("id") or name.removeprefix("pve"))
    addresses = {link: given.get(str(link), f"10.{link}.0.{number}") for link in links}
    return ConfNode(name, number, int(given.get("votes", 1)), addresses)


def seen(live: Shape, given: Mapping[str, Any]) -> Seen:
    """How the members do: well, but for what a case says."""
    lost = frozenset(given.get("lost", ()))
    broken = frozenset((one, other, int(link)) for one, other, link in map(str.split, given.get("broken", ())))
    voting = frozenset(live.nodes) - lost - frozenset(given.get("silent", ()))
    witness = live.witness is not None and not given.get("witness_silent")
    return Seen(voting, lost, broken, tuple(given.get("busy", ())), witness)
