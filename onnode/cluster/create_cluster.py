"""create-cluster: `pvecm create` on the seed, once; the caller has seen that no peer reports a cluster (F6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.cluster import admission, membership
from onnode.contract.documents import document
from onnode.contract.formation import CreateCluster
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.cluster.admission import Candidate
    from onnode.contract.links import ClusterLink
    from onnode.system.machine import ThisMachine


def observe(machine: ThisMachine, desired: CreateCluster) -> Candidate:
    """Look at this node, when no earlier run's `pvecm` is at work on it.

    Raises:
        StepError: join-running.
    """
    admission.wait_for_pvecm(machine, desired.timeout_s)
    return admission.observe(machine)


def decide(observed: Candidate, desired: CreateCluster) -> list[Action]:
    """Create, or finish a creation that was cut off, or refuse what is something else.

    Raises:
        StepError: hostname, hostname-resolution, link-address, other-cluster, member-differs.
    """
    admission.refuse_unready(observed, desired.node, desired.links)
    admission.refuse_other_cluster(observed, desired.cluster)
    if observed.member.conf is None:
        return [Action("create", desired.cluster)]
    admission.refuse_different(observed, desired.node_id, desired.votes, desired.links)
    _refuse_priorities(observed, desired)
    return [] if admission.settled(observed) else [Action("finish", desired.cluster)]


def _refuse_priorities(observed: Candidate, desired: CreateCluster) -> None:
    conf = observed.member.conf
    found = conf.priorities if conf else {}
    wanted = {link.number: link.priority for link in desired.links if link.priority is not None}
    if wanted.items() - found.items():
        raise StepError(
            "member-differs",
            f"the links of cluster {desired.cluster} have priorities that differ from the stack file",
            observed=", ".join(f"link{number} {priority}" for number, priority in sorted(found.items())) or "none set",
            expected=", ".join(f"link{number} {priority}" for number, priority in sorted(wanted.items())),
        )


def act(machine: ThisMachine, desired: CreateCluster, action: Action) -> None:
    """Create or finish, then wait until the one-node cluster works.

    Raises:
        StepError: create-failed, no-quorum, api-down.
    """
    if action.do == "create":
        result = machine.run(command(desired), timeout_s=desired.timeout_s)
        machine.note(result.text)
        if not machine.wait_for(lambda: membership.observe(machine).conf is not None, admission.SERVICE_S):
            raise StepError(
                "create-failed",
                f"`pvecm create {desired.cluster}` made no cluster",
                observed=tail(result.text),
                expected=f"{membership.PVE_CONF}",
            )
    admission.finish(machine, desired.timeout_s)


def command(desired: CreateCluster) -> list[str]:
    """The command line; it carries no secret."""
    options = ["--nodeid", str(desired.node_id), "--votes", str(desired.votes)]
    return ["pvecm", "create", desired.cluster, *options, *(word for link in desired.links for word in _link(link))]


def _link(link: ClusterLink) -> list[str]:
    priority = "" if link.priority is None else f",priority={link.priority}"
    return [f"--link{link.number}", f"{link.address}{priority}"]


def facts(observed: Candidate, _desired: CreateCluster) -> dict[str, Any]:
    """The seed's membership."""
    return document(membership.told(observed.member))


def unchanged(_observed: Candidate, desired: CreateCluster) -> str:
    """Say what was found."""
    return f"{desired.node} is a quorate member of cluster {desired.cluster}"


STEP = Step(CreateCluster, observe, decide, act, facts, unchanged)
