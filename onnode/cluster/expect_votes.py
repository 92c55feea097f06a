"""expect-votes: the nodes that are left have a quorum again, by `pvecm expected`, until the lost ones are off the list.

Corosync holds to it until nodes come or go. A node of those that were lost must not vote: the loss was confirmed by people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import admission, corosync, membership
from onnode.contract.repair import ExpectVotes
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LOOK_S = 15.0
EXPECT_S = 30.0


@dataclass(frozen=True)
class Observed:
    """The vote, as this node sees it; voters None: corosync does not run."""

    node: str
    quorate: bool = False
    voters: list[int] | None = field(default_factory=list)


def observe(machine: ThisMachine, _desired: ExpectVotes) -> Observed:
    """Ask corosync."""
    quorum = corosync.parse_quorum(machine.run(["corosync-quorumtool", "-siH"], timeout_s=LOOK_S).out)
    node = membership.hostname(machine)
    return Observed(node, quorum.quorate, [one.id for one in quorum.members]) if quorum else Observed(node, voters=None)


def decide(observed: Observed, desired: ExpectVotes) -> list[Action]:
    """Expect fewer votes, unless there is a quorum.

    Raises:
        StepError: no-quorum, node-still-there.
    """
    if observed.voters is None:
        raise StepError(
            "no-quorum",
            f"corosync does not run on {observed.node}, so it can expect no votes",
            observed="no answer of corosync",
            expected="a running corosync",
            fix="`make repair` starts it first",
        )
    if voting := sorted(set(observed.voters) & set(desired.gone)):
        raise StepError(
            "node-still-there",
            "a node that was called lost votes; nothing was changed",
            observed=f"{observed.node} sees a vote of node id {', '.join(map(str, voting))}",
            expected="no vote of it",
        )
    return [] if observed.quorate else [Action("expect", f"{desired.votes} votes")]


def act(machine: ThisMachine, desired: ExpectVotes, _action: Action) -> None:
    """Tell corosync, and wait until /etc/pve takes writes.

    Raises:
        StepError: no-quorum.
    """
    said = machine.run(["pvecm", "expected", str(desired.votes)], timeout_s=EXPECT_S)
    machine.note(tail(said.text))
    admission.wait_for_quorum(machine, desired.timeout_s)


def facts(observed: Observed, _desired: ExpectVotes) -> dict[str, Any]:
    """Whether there is a quorum."""
    return {"node": observed.node, "quorate": observed.quorate}


def unchanged(observed: Observed, _desired: ExpectVotes) -> str:
    """Say what was found."""
    return f"{observed.node} is quorate"


STEP = Step(ExpectVotes, observe, decide, act, facts, unchanged)
