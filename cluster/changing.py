"""What the steps that change a live cluster begin with: a look at all nodes, and the plan of the whole way."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import formation, qdevice
from cluster.planning import known, live
from cluster.planning.plan import plan
from cluster.transport import members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

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
        known: the nodes that earlier runs described, by name.
        plan: the transitions that are left.
    """

    opened: Opened
    reports: dict[str, MembershipReport]
    newest: Membership | None
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
    before = known.known(call.previous)
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, members.membership)
        reports = members.answered(answers)
        newest = live.newest(reports.values())
        if newest is None:
            members.raise_first(answers.values())  # a cluster that nobody could tell of is not one that is not there
        planned = (
            plan(before, live.shape(newest), live.seen(newest, reports, lost=()), live.wanted(desired))
            if newest
            else []
        )
        yield Situation(opened, reports, newest, before, planned)


def refuse_others(desired: ClusterChange, seen: Mapping[str, Membership]) -> None:
    """Refuse nodes of another cluster, and a cluster whose links are none of corosync's today; pure.

    Raises:
        AdminError: other-cluster, corosync-transport.
    """
    formation.refuse_other_cluster(desired.cluster, seen.values())
    formation.refuse_other_transport(seen.values())


def foreseen(
    desired: ClusterChange, previous: Mapping[str, Any] | None, seen: Mapping[str, Membership], gone: Iterable[str]
) -> list[Planned]:
    """The whole way, if each described node works by the time it is needed; nothing while there is no cluster. Pure.

    Args:
        desired: the described cluster.
        previous: facts of the run before.
        seen: what each node reports that answers, by name.
        gone: nodes whose VM is not on its outer host any more.

    Raises:
        AdminError: qdevice-unknown, and as :func:`cluster.planning.plan.plan`.
    """
    newest = live.newest(seen.values())
    if newest is None:
        return []
    now, wanted = live.shape(newest), live.wanted(desired)
    planned = plan(known.known(previous), now, live.at_best(live.seen(newest, seen, gone), now, wanted), wanted)
    qdevice.refuse_unknown(planned, known.described_witnesses(desired, previous))
    return planned
