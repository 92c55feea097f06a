"""join-cluster: this node becomes a member, or a join that stopped half way is finished.

What the node itself shows is `absent`, `half` or `member`; whether the live cluster lists it comes from the caller,
who looks at the other nodes. Together they decide (F2):

| node | listed | then |
|------|--------|------|
| absent | no | join |
| absent | yes | join with `--force`: an earlier one stopped right after the cluster had taken the node in |
| half | yes | finish the join, no reset needed |
| half, without corosync.conf | any | reset to stand-alone, then join: the key alone blocks a join |
| half | no | reset to stand-alone, then join; refused if the node still talks to a cluster or has guests |
| member | yes | nothing |
| member | no | refused: the cluster and the node disagree; unless it votes with others, then it has joined just now |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from onnode.cluster import admission, membership, reset, way_in
from onnode.contract.documents import document
from onnode.contract.formation import JoinCluster
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.cluster.admission import Candidate
    from onnode.system.machine import Result, ThisMachine

# The first that matches says why `pvecm add` did not join.
COMPLAINTS = (
    ("join-password", re.compile(r"\b401\b|authentication failure|invalid credentials", re.IGNORECASE)),
    ("join-fingerprint", re.compile(r"fingerprint '.*' not verified")),
    ("seed-unreachable", re.compile(r"Can't connect|Connection refused|No route to host|timed out|Unable to lookup")),
    ("seed-not-quorate", re.compile(r"cluster not ready - no quorum|no quorum!")),
    ("join-locked", re.compile(r"can't lock file|got lock request timeout|got lock timeout")),
    ("join-links", re.compile(r"corosync: link|corosync: address|links given|but only \d+ given")),
    ("already-listed", re.compile(r"can't add existing node")),
    ("node-unclean", re.compile(r"detected the following error|Check if node may join a cluster failed")),
)


def observe(machine: ThisMachine, desired: JoinCluster) -> Candidate:
    """Look at this node, when no earlier run's `pvecm` is at work on it.

    Raises:
        StepError: join-running.
    """
    admission.wait_for_pvecm(machine, desired.timeout_s)
    return admission.observe(machine)


def decide(observed: Candidate, desired: JoinCluster) -> list[Action]:
    """Choose from the table above.

    Raises:
        StepError: hostname, hostname-resolution, link-address, other-cluster, node-has-guests, cluster-not-visible,
            half-joined, cluster-disagrees, member-differs.
    """
    member = observed.member
    admission.refuse_unready(observed, desired.node, desired.links)
    admission.refuse_other_cluster(observed, desired.cluster)
    if member.state == "absent":
        _refuse_guests(member)
        return [Action("join", desired.cluster)]
    if member.state == "half" and (member.conf is None or desired.listed is not True):
        _refuse_unsafe_reset(member, desired)
        return [Action("reset", desired.node)]
    if desired.listed is False and not (member.quorate and admission.voters(member) > 1):
        raise _disagrees(member, desired)
    admission.refuse_different(observed, desired.node_id, desired.votes, desired.links)
    if not admission.settled(observed):
        return [Action("finish", desired.cluster)]
    if admission.broken_links(member):
        return [Action("wait-for-links")]
    return [Action("close-way-in")] if observed.way_in else []


def _refuse_guests(member: membership.NodeState) -> None:
    if member.guests:
        raise StepError(
            "node-has-guests",
            f"{member.node} has guests, and a join would lose their configuration",
            observed=f"guests {', '.join(map(str, member.guests))}",
            expected="no guests on a joining node",
        )


def _refuse_unsafe_reset(member: membership.NodeState, desired: JoinCluster) -> None:
    if desired.listed is None and member.conf is not None:
        raise StepError(
            "cluster-not-visible",
            f"{member.node} is half joined, and no member could be reached to check it",
            observed=f"missing: {', '.join(member.missing)}",
            expected="a quorate member that answers",
        )
    _refuse_guests(member)
    if admission.voters(member) > 1:
        raise StepError(
            "half-joined",
            f"{member.node} is half joined and still talks to a cluster that does not list it",
            observed=f"it votes with {admission.voters(member) - 1} other nodes",
            expected="an isolated node",
            fix=f"`systemctl stop corosync pve-cluster` on {member.node}, then `pulumi up` again",
        )


def _disagrees(member: membership.NodeState, desired: JoinCluster) -> StepError:
    return StepError(
        "cluster-disagrees",
        f"{member.node} is set up as a member of {desired.cluster}, which does not list it",
        observed=f"own list of nodes: {', '.join(node.name for node in member.conf.nodes) if member.conf else 'none'}",
        expected=f"the cluster's list of nodes has {member.node}",
    )


def act(machine: ThisMachine, desired: JoinCluster, action: Action) -> None:
    """Join, finish, reset, or wait; meanwhile the administrator can log in without /etc/pve."""
    if action.do in ("join", "finish", "reset"):
        way_in.open_up(machine)
    if action.do == "join":
        _join(machine, desired)
    elif action.do == "finish":
        _finish(machine, desired)
    elif action.do == "reset":
        reset.to_stand_alone(machine)
    elif action.do == "wait-for-links":
        admission.wait_for_links(machine)
    else:
        way_in.close(machine)


def _join(machine: ThisMachine, desired: JoinCluster) -> None:
    """Run `pvecm add`; if it got past the point where the cluster takes the node in, go forward from there."""
    workers = admission.api_workers(machine)
    result = machine.run(command(desired), stdin=f"{desired.root_password}\n", timeout_s=desired.timeout_s)
    machine.note(result.text)
    if f"successfully added node '{desired.node}' to cluster" in result.out:
        admission.wait_for_quorum(machine, desired.timeout_s)
        admission.end_old_workers(machine, workers)
        admission.wait_for_api(machine)
        return
    if membership.observe(machine).conf is None:
        way_in.close(machine)
        raise complaint(result, desired)
    machine.note("`pvecm add` stopped half way: finishing the join")
    _finish(machine, desired, workers)


def _finish(machine: ThisMachine, desired: JoinCluster, workers: frozenset[str] = frozenset()) -> None:
    """Go on from where `pvecm add` was cut off; the node's own database gives way to the cluster's, as it would have."""
    machine.run(["systemctl", "start", "pve-cluster"], timeout_s=admission.SERVICE_S)
    member = membership.observe(machine)
    if member.pve_mounted and member.pve_conf is None:
        _refuse_guests(member)
        reset.drop_database(machine)
    admission.finish(machine, desired.timeout_s, workers)


def command(desired: JoinCluster) -> list[str]:
    """The command line; the password goes over standard input."""
    return [
        *("pvecm", "add", desired.seed_address, "--fingerprint", desired.seed_fingerprint),
        *("--nodeid", str(desired.node_id), "--votes", str(desired.votes)),
        *(word for link in desired.links for word in (f"--link{link.number}", link.address)),
        *(("--force", "1") if desired.listed else ()),
    ]


def complaint(result: Result, desired: JoinCluster) -> StepError:
    """What a `pvecm add` that left nothing behind means."""
    code = next((code for code, pattern in COMPLAINTS if pattern.search(result.text)), "join-failed")
    return StepError(
        code,
        f"`pvecm add {desired.seed_address}` did not join {desired.node}",
        observed=tail(result.text) + (f" (ended after {desired.timeout_s} s)" if result.timed_out else ""),
        expected=f"successfully added node '{desired.node}' to cluster.",
    )


def facts(observed: Candidate, _desired: JoinCluster) -> dict[str, Any]:
    """The new member's view."""
    return document(membership.told(observed.member))


def unchanged(_observed: Candidate, desired: JoinCluster) -> str:
    """Say what was found."""
    return f"{desired.node} is a quorate member of cluster {desired.cluster}, all links connected"


STEP = Step(
    JoinCluster,
    observe,
    decide,
    act,
    facts,
    unchanged,
    secrets=lambda desired: [desired.root_password],
)
