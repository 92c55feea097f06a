"""What the steps that change a live cluster begin with: a look at all nodes, and the plan of the whole way."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.planning import known, live
from cluster.planning.plan import plan
from cluster.transport import members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.call import Call
    from cluster.contract import ClusterChange
    from cluster.planning.known import KnownMember
    from cluster.planning.model import Planned
    from cluster.transport.members import Opened
    from onnode.contract import Membership, MembershipReport


@dataclass(frozen=True)
class Situation:
    """The live cluster, and the way to the described one.

    Attributes:
        opened: the connections to the described nodes.
        reports: what those report that answer, by name.
        newest: the report whose configuration counts; None while there is no cluster.
        remembered: what is known of earlier runs, as :mod:`cluster.planning.known` has it.
        known: the nodes that they described, by name.
        plan: the transitions that are left.
    """

    opened: Opened
    reports: dict[str, MembershipReport]
    newest: Membership | None
    remembered: dict[str, Any]
    known: dict[str, KnownMember]
    plan: list[Planned]

    @property
    def listed(self) -> set[str]:
        """The names of the nodes that the cluster lists."""
        return {node.name for node in self.newest.nodes} if self.newest else set()


@asynccontextmanager
async def situation(desired: ClusterChange, call: Call) -> AsyncIterator[Situation]:
    """Look at all described nodes, and plan.

    Raises:
        AdminError: as :func:`cluster.planning.plan.plan`.
        StepError: why a node did not answer, when no other one is in a cluster.
    """
    remembered = known.together(call.previous, call.known)
    before = known.known(remembered)
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, members.membership)
        reports = members.answered(answers)
        newest = live.newest(reports.values())
        if newest is None:
            members.raise_first(answers.values())  # a cluster that nobody could tell of is not one that is not there
        planned = (
            plan(known.ends(before), live.shape(newest), live.seen(newest, reports, lost=()), live.wanted(desired))
            if newest
            else []
        )
        yield Situation(opened, reports, newest, remembered, before, planned)
