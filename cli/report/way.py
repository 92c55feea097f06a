"""How a running cluster gets from one design to another, and what is unwise on that way. Pure.

From stack files alone, all nodes are taken to be well. `up` plans again from what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.report import unwise
from cli.report.values import shown
from cluster.errors import AdminError
from cluster.planning import words
from cluster.planning.model import Seen, Shape
from cluster.planning.plan import plan
from onnode.cluster.corosync import ConfNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.report.unwise import Bound
    from cluster.planning.model import Planned
    from onnode.errors import StepError

# A changed name or id is refused where the value itself is shown.
SHOWN_ELSEWHERE = ("other-cluster", "identity-changed")

# Settings by corosync's own names.
TOTEM = {"linkMode": "link_mode", "tokenMs": "token", "tokenCoefficientMs": "token_coefficient"}


@dataclass(frozen=True)
class Way:
    """A way, or why there is none.

    Attributes:
        steps: what is done, in this order, each with its risk.
        refusal: why there is no way.
        advice: what to think of before.
        bound: guests that have no choice of nodes meanwhile.
    """

    steps: tuple[str, ...] = ()
    refusal: StepError | None = None
    advice: tuple[str, ...] = ()
    bound: tuple[Bound, ...] = ()


def way(old: Mapping[str, Any], new: Mapping[str, Any]) -> Way:
    """From one design to another."""
    live, wanted = shape(old), shape(new)
    try:
        recorded = {name: node.links for name, node in live.nodes.items()}
        planned = plan(recorded, live, _all_well(live), wanted)
    except AdminError as error:
        return Way(refusal=None if error.code in SHOWN_ELSEWHERE else error)
    return judged(planned, live, wanted, old["guests"], new["guests"])


def judged(
    planned: Sequence[Planned],
    live: Shape,
    wanted: Shape,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
) -> Way:
    """A plan in words, with what is unwise about it.

    Args:
        planned: the transitions.
        live: the cluster before.
        wanted: the described cluster.
        before: the guests as they are recorded.
        after: the guests as they are described.
    """
    bound = unwise.bound(planned, live, wanted, before, after)
    return Way(tuple(map(words.sentence, planned)), advice=tuple(unwise.advice(planned, before)), bound=tuple(bound))


def _all_well(live: Shape) -> Seen:
    return Seen(frozenset(live.nodes), witness=live.witness is not None)


def shape(design: Mapping[str, Any]) -> Shape:
    """The cluster of a design."""
    cluster = design["cluster"]
    links = {int(link["number"]): link for link in cluster["links"]}
    nodes = {
        node["name"]: ConfNode(
            node["name"],
            int(node["nodeId"]),
            int(node["votes"]),
            {
                number: one["addresses"][node["name"]]
                for number, one in links.items()
                if node["name"] in one["addresses"]
            },
        )
        for node in design["nodes"]
    }
    priorities = {number: int(one["priority"]) for number, one in links.items() if one.get("priority") is not None}
    settings = cluster.get("totem") or {}
    totem = {name: shown(settings[key]) for key, name in TOTEM.items() if settings.get(key) is not None}
    # As in the cluster itself: an odd number of nodes has none.
    witness = None if len(nodes) % 2 else _witness(design)
    return Shape(cluster["name"], nodes, priorities, totem, witness)


def _witness(design: Mapping[str, Any]) -> str | None:
    """The QDevice's server."""
    qdevice = design["cluster"].get("qdevice") or {}
    hosts = {host["name"]: host["address"] for host in design["outerHosts"]}
    machine = qdevice.get("machine") or {}
    return machine.get("address") or hosts.get(qdevice.get("host"))
