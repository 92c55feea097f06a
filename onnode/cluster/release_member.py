"""release-member: the entry of a lost node goes, so that the node can join anew. Asked on a working member.

The caller has seen from all members that the node is lost. What the node had in /etc/pve stays, guests' configurations above all: it
gets them back when it has joined. HA maintenance of it ends first: HA keeps the request for ever, and the next node of that name
would begin in it. `pvecm delnode` goes by the node's id, so it is not called while that id is there twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, ha_manager, maintenance, membership
from onnode.cluster.remove_member import listed_nodes, quorate_conf, refuse_doubled, seen_quorum, take_off_the_list
from onnode.contract.removal import ReleaseMember
from onnode.errors import StepError
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """The list of nodes and the vote, as this member sees them."""

    here: str
    conf: corosync.Conf | None
    quorum: corosync.Quorum | None
    maintained: bool = False  # HA is asked to have it in maintenance


def observe(machine: ThisMachine, desired: ReleaseMember) -> Observed:
    """Look at the list, at the vote and at HA."""
    return Observed(
        membership.hostname(machine),
        listed_nodes(machine),
        seen_quorum(machine),
        ha_manager.observe(machine, desired.node).requested,
    )


def decide(observed: Observed, desired: ReleaseMember) -> list[Action]:
    """Take it off the list, unless it votes. Without its entry, those that are left may need more votes than they have.

    Raises:
        StepError: no-quorum, member-id-twice, node-still-there.
    """
    if observed.conf is not None and observed.conf.node(desired.node) is None:
        return []
    quorum, conf = observed.quorum, quorate_conf(observed.here, observed.conf, observed.quorum)
    refuse_doubled(conf)
    listed = next(node for node in conf.nodes if node.name == desired.node)
    voters = {voter.id for voter in quorum.members} if quorum else set[int]()
    if desired.node_id in voters or listed.id != desired.node_id:
        raise StepError(
            "node-still-there",
            f"{desired.node} is no lost node, so its entry stays",
            observed=f"{observed.here} lists it with id {listed.id}; {corosync.votes(conf.nodes, quorum)}",
            expected=f"a node with id {desired.node_id} that does not vote",
        )
    return [Action("end-maintenance" if observed.maintained else "release", desired.node)]


def act(machine: ThisMachine, _desired: ReleaseMember, action: Action) -> None:
    """End HA's maintenance of it, or take it off the list.

    Raises:
        StepError: remove-failed, maintenance-not-taken, command-failed.
    """
    if action.do == "end-maintenance":
        maintenance.withdraw(machine, action.what)
    else:
        take_off_the_list(machine, action.what)


def facts(observed: Observed, desired: ReleaseMember) -> dict[str, Any]:
    """Which node, and which are listed."""
    nodes = observed.conf.nodes if observed.conf else []
    return {"released": desired.node, "nodes": sorted(node.name for node in nodes)}


def unchanged(_observed: Observed, desired: ReleaseMember) -> str:
    """Say what was found."""
    return f"the cluster does not list {desired.node}"


STEP = Step(ReleaseMember, observe, decide, act, facts, unchanged)
