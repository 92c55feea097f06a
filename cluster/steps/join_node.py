"""join-node: one node joins; proven from both sides (F1, F2, F3, F4, F5, F10, F25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import catching_up, formation, verification
from cluster.call import note
from cluster.errors import AdminError
from cluster.transport import members, ssh
from cluster.transport.nodes import run_step
from onnode.contract.formation import JoinCluster
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.call import Call
    from cluster.contract import JoinNode
    from onnode.contract.membership import MembershipReport

MARGIN_S = (
    180.0  # the step's own waits, beyond the time for the command, for the quorum, and for both of an earlier run
)
EXPECTED_S = 20.0


async def bring_about(desired: JoinNode, call: Call) -> Outcome:
    """Look at the joiner and at all present members, let it in, look again from both sides.

    Raises:
        StepError: see :func:`formation.plan_join`, the on-node step, :func:`cluster.catching_up.catch_up`, and
            :func:`verification.until_as_described`.
    """
    everyone = [*desired.present, desired.joiner]
    async with members.connections(everyone, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, members.membership)
        if caught_up := await catching_up.catch_up(desired.cluster, opened, answers, desired.timeout_s):
            answers = await members.ask(opened, members.membership)
        members.raise_first([answers[desired.joiner.name]])
        present = {member.name: answers[member.name] for member in desired.present}
        joiner, seen = members.answered(answers)[desired.joiner.name], members.answered(present)
        changed = caught_up
        if not formation.is_joined(desired.cluster, joiner, seen):
            changed |= await _join(desired, call, opened, joiner, present)
        # Not from nodes that have not joined yet, nor from members whose corosync does not run.
        looking = {name for name, look in seen.items() if look.state == "member" and look.quorum} | {joiner.node}
        reached = {name: members.connected(opened, name) for name in opened if name in looking}
        proven = await verification.until_as_described(
            desired.cluster,
            [member for member in everyone if member.name in reached],
            reached,
            timeout_s=desired.timeout_s,
            only_through=desired.joiner.name,
        )
    return Outcome(changed or proven.caught_up, {"cluster": desired.cluster, "member": desired.joiner.name})


async def _join(
    desired: JoinNode,
    call: Call,
    opened: members.Opened,
    joiner: MembershipReport,
    present: Mapping[str, MembershipReport | StepError],
) -> bool:
    keys = [ssh.fingerprint(key.public_data) for key in ssh.client_keys(call.secrets.ssh_private_key)]
    everyone = [*desired.present, desired.joiner]
    plan = formation.plan_join(desired.cluster, everyone, joiner, present, keys)
    if not plan.listed and call.previous is None:  # one that was a member before is known to those that are off
        formation.refuse_off(everyone, members.answered(present))
    if call.secrets.root_password is None:
        raise AdminError("bad-call", "a join needs the root password of the nodes", observed="none given")
    if plan.votes is not None:
        await _lower_expected_votes(members.connected(opened, plan.sponsors[0]), joiner.node, plan.votes)
    certificates = {name: look.api_fingerprint for name, look in members.answered(present).items()}

    async def through(name: str) -> bool:
        sponsor = next(member for member in desired.present if member.name == name)
        wanted = JoinCluster(
            cluster=desired.cluster,
            node=desired.joiner.name,
            node_id=desired.joiner.node_id,
            votes=desired.joiner.votes,
            seed_address=sponsor.address,
            seed_fingerprint=certificates[name] or "",
            root_password=call.secrets.root_password or "",
            links=desired.joiner.links,
            timeout_s=desired.timeout_s,
            listed=plan.listed,
        )
        joining = members.connected(opened, desired.joiner.name)
        result = await run_step(joining, "join-cluster", wanted, timeout_s=4 * desired.timeout_s + MARGIN_S)
        return result.changed

    *others, last = plan.sponsors
    for name in others:
        try:
            return await through(name)
        except StepError as error:
            # Nothing was changed. Root's password is each node's own, and perhaps only one has the configured one.
            if error.code != "join-password":
                raise
            note(f"{name} refuses the root password; the next member is asked")
    return await through(last)


async def _lower_expected_votes(sponsor: ssh.Connection, joiner: str, votes: int) -> None:
    """An earlier join of this node was cut off right after the cluster had taken it in: its vote is counted.

    All other members vote, and the node itself is stand-alone, so nobody can be outvoted (pvecm's manual).
    """
    note(
        f"the cluster already counts {joiner}, which cannot vote yet: pvecm expected {votes} on {sponsor.machine.name}"
    )
    done = await sponsor.run(f"pvecm expected {votes}", timeout_s=EXPECTED_S)
    if done.exit_code != 0:
        raise AdminError(
            "command-failed",
            f"`pvecm expected {votes}` failed on {sponsor.machine.name}",
            observed=(done.stderr or done.stdout).strip(),
            expected="exit 0",
        )
