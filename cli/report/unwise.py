"""What works on the way from one cluster to another, and is unwise. What cannot work, the planner itself refuses. Pure.

No rule of the policy pack can judge this: the engine shows a rule what is wanted, and not what is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.report.values import by_identity
from cluster.planning.model import RemoveMember, ReplaceMember
from cluster.planning.plan import after

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from cluster.planning.model import Planned, Shape

CANDIDATES_MIN = 2
FEW_LEAVE = 1


@dataclass(frozen=True)
class Bound:
    """A guest that a plan leaves one node, or none, for some time.

    Attributes:
        guest: its name.
        nodes: where it may run then.
        leaver: the node with which that begins.
    """

    guest: str
    nodes: tuple[str, ...]
    leaver: str

    @property
    def text(self) -> str:
        """What becomes of it."""
        where = f"on {self.nodes[0]} only" if self.nodes else "on no node"
        return f"may run {where} from the moment in which {self.leaver} goes until this run changes its HA rule"


def advice(planned: Sequence[Planned], guests: Collection[object]) -> list[str]:
    """What to think of before such a plan is run.

    Args:
        planned: the transitions.
        guests: those under HA.
    """
    tight = [str(number) for number, step in enumerate(planned, start=1) if step.survives <= 0]
    leavers = [step.transition.name for step in planned if isinstance(step.transition, RemoveMember)]
    found = []
    if tight and guests:
        steps = f"step {tight[0]}" if len(tight) == 1 else f"steps {', '.join(tight)}"
        found.append(
            f"{steps}: if a node fails meanwhile, the quorum is lost and all guests under HA stop; begin when all nodes are well"
        )
    if len(leavers) > FEW_LEAVE:
        found.append(
            f"{' and '.join(leavers)} leave in one run: leave one out in each, and see between that all is well"
        )
    return found


def bound(
    planned: Sequence[Planned],
    live: Shape,
    wanted: Shape,
    before: Sequence[Mapping[str, Any]],
    after_it: Sequence[Mapping[str, Any]],
) -> list[Bound]:
    """The guests that have a choice of nodes before and after a plan, and none on its way.

    HA rules are changed when all nodes have joined and left. A guest that is described with one node is a rule's matter.

    Args:
        planned: the transitions.
        live: the cluster before.
        wanted: the described cluster.
        before: the guests as they are recorded.
        after_it: the guests as they are described.
    """
    described = by_identity(after_it)
    return [
        found
        for guest in before
        if guest["name"] in described
        and _is_free(_candidates(described[guest["name"]], wanted.nodes))
        and (found := next(_left_alone(guest, planned, live, wanted), None))
    ]


def _left_alone(guest: Mapping[str, Any], planned: Sequence[Planned], live: Shape, wanted: Shape) -> Iterator[Bound]:
    shape = live
    for step in planned:
        was = _candidates(guest, shape.nodes)
        if isinstance(step.transition, (RemoveMember, ReplaceMember)) and _is_free(was):
            leaver = step.transition.name
            left = tuple(name for name in was if name != leaver)
            if not _is_free(left):
                yield Bound(guest["name"], left, leaver)
        shape = after(shape, step.transition, wanted)


def _candidates(guest: Mapping[str, Any], nodes: Collection[str]) -> tuple[str, ...]:
    """Where HA may run a guest: a rule that is not strict only prefers its nodes."""
    return tuple(sorted(set(guest["ha"]["nodes"]) & set(nodes) if guest["ha"]["strict"] else nodes))


def _is_free(candidates: Collection[str]) -> bool:
    return len(candidates) >= CANDIDATES_MIN
