"""What the steps that change a live cluster begin with: a look at all nodes, and the plan of the whole way.

Where that way disturbs what goes on, such as a backup, its end is waited for.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster import catching_up, formation, motion, proxmox_ve, qdevice, removal, replacing
from cluster.call import note
from cluster.planning import known, live
from cluster.planning.model import RemoveMember
from cluster.planning.plan import plan
from cluster.planning.refusals import DISTURBS
from cluster.transport import members
from cluster.waiting import until_async
from onnode.cluster import membership

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from cluster.call import Call
    from cluster.contract import ClusterChange
    from cluster.planning.known import KnownMember
    from cluster.planning.model import Planned
    from cluster.transport.members import Opened
    from onnode.contract.membership import Membership, MembershipReport


CONNECT_S = 2.0  # a node that leaves may be off already
POLL_S = 2.0


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
        AdminError: other-cluster, clusters-split, and as :func:`cluster.planning.plan.plan`.
        StepError: why a node did not answer, when no other one is in a cluster; those of :func:`cluster.catching_up.catch_up`.
    """
    remembered = known.together(call.previous, call.known)
    before = known.known(remembered)
    async with members.connections(desired.members, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, members.membership)
        if await catching_up.catch_up(desired.cluster, opened, answers, desired.timeout_s):
            answers = await members.ask(opened, members.membership)
        reports = members.answered(answers)
        # The member that is asked to change something is chosen among these, too.
        formation.refuse_other_cluster(desired.cluster, reports.values())
        formation.refuse_two_quorate(reports.values())
        newest = live.newest(reports.values())
        if newest is None:
            members.raise_first(answers.values())  # a cluster that nobody could tell of is not one that is not there
        planned: list[Planned] = []
        if newest is not None:
            now, seen, wanted = live.shape(newest), live.seen(newest, reports, lost=()), live.wanted(desired)
            planned = plan(known.ends(before), now, seen, wanted)
            if any(isinstance(step.transition, DISTURBS) for step in planned):
                leaving = {name: one for name, one in before.items() if name in now.nodes.keys() - wanted.nodes.keys()}
                busy = await _busy(opened, leaving, desired, call)
                planned = plan(known.ends(before), now, replace(seen, busy=tuple(busy)), wanted)
        yield Situation(opened, reports, newest, remembered, before, planned)


async def _busy(opened: Opened, leaving: Mapping[str, KnownMember], desired: ClusterChange, call: Call) -> list[str]:
    """What goes on in the cluster, and did not end in time."""
    machines = [one.machine for one in leaving.values() if one.machine]

    async def look() -> list[str]:
        async with members.connections(machines, call.secrets.ssh_private_key, timeout_s=CONNECT_S) as further:
            asked = await members.ask({**opened, **further}, lambda one: proxmox_ve.look(one, desired.stack))
        looks = members.answered(asked)
        found = motion.going_on(
            {name: one.motion for name, one in looks.items() if one.quorate and one.cluster}, leaving
        )
        if found and found != told:
            note(f"waiting, before the cluster is changed: {'; '.join(found)}")
            told[:] = found
        return found

    told: list[str] = []
    return await until_async(look, lambda found: not found, timeout_s=desired.timeout_s, poll_s=POLL_S)


def refuse_others(desired: ClusterChange, seen: Mapping[str, Membership]) -> None:
    """Refuse nodes of another cluster, two of its name, and one whose links are none of corosync's today; pure.

    Raises:
        AdminError: other-cluster, clusters-split, corosync-transport.
    """
    formation.refuse_other_cluster(desired.cluster, seen.values())
    formation.refuse_two_quorate(seen.values())
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
        AdminError: qdevice-unknown, member-forgotten, vm-changed, and as :func:`cluster.planning.plan.plan`.
        StepError: corosync-edited.
    """
    newest = live.newest(seen.values())
    if newest is None:
        return []
    now, wanted, before = live.shape(newest), live.wanted(desired), known.known(previous)
    replacing.refuse_other_vm(desired, before, newest)
    planned = plan(known.ends(before), now, live.at_best(live.seen(newest, seen, gone), now, wanted), wanted)
    qdevice.refuse_unknown(planned, known.described_witnesses(desired, previous))
    if planned:
        membership.refuse_edited(seen.values())  # every transition writes corosync.conf, those by `pvecm` as well
    for step in planned:
        if isinstance(step.transition, RemoveMember):
            removal.leaving(now.nodes[step.transition.name], before)
    return planned
