"""One member leaves for good: its guests, its power, the proof that it is off, its entry in the cluster, what is left of it.

Each part looks at what is there and does only what is missing. So a run that was killed anywhere is finished by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cluster import marks, nested_vm, proxmox_ve, verification
from cluster.call import note
from cluster.errors import AdminError
from cluster.reports import read
from cluster.transport import members, ssh
from cluster.transport.nodes import run_step
from cluster.waiting import until_async
from onnode.cluster.corosync import parse_conf
from onnode.cluster.membership import LOCAL_CONF
from onnode.contract.removal import EvacuateNode, KeepMembers, NodeGone, NodeTraces, RemoveMember
from onnode.errors import StepError
from onnode.system.pve import stack_tag

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cluster.changing import Situation
    from cluster.contract import ClusterChange, Housing, Machine
    from cluster.planning.known import KnownMember
    from cluster.transport.ssh import Connection
    from onnode.cluster.corosync import ConfNode

EVACUATION_S = 4 * 3600.0  # the step bounds its wait for each guest, and says more when it gives up
STEP_S = 300.0
COMMAND_S = 30.0
CONNECT_S = 5.0
SHUTDOWN_S = 180.0
STOP_S = 60.0
GONE_S = 300.0  # an existing machine may take minutes to shut down
POLL_S = 1.0


@dataclass(frozen=True)
class Leaving:
    """A member that is described no more.

    Attributes:
        node: as the cluster lists it.
        machine: how it is reached.
        housing: its VM; None for an existing machine.
    """

    node: ConfNode
    machine: Machine
    housing: Housing | None

    @property
    def addresses(self) -> list[str]:
        """Of its links, and for management."""
        return list(dict.fromkeys([*self.node.links.values(), self.machine.address]))


def leaving(node: ConfNode, known: Mapping[str, KnownMember]) -> Leaving:
    """What is known of a member that is to leave.

    Raises:
        AdminError: member-forgotten.
    """
    remembered = known.get(node.name)
    if remembered is None or remembered.machine is None:
        raise AdminError(
            "member-forgotten",
            f"{node.name} was left out of the stack file, and how it is reached was not remembered",
            observed=f"{node.name} was described by an earlier version of this program only",
            expected="one run of this version in which it is described",
        )
    return Leaving(node, remembered.machine, remembered.housing)


async def remove(one: Leaving, now: Situation, desired: ClusterChange, private_key: str) -> None:
    """Take a member out of the cluster.

    Raises:
        AdminError: node-still-there, member-not-working, cluster-not-as-described, foreign-vmid.
        StepError: why a member that stays did not answer, and those of the on-node steps.
    """
    name = one.node.name
    # All that stay must see that it is off, so all that stay must answer: asked before anything is done.
    staying = {member.name: members.connected(now.opened, member.name) for member in desired.members}
    sponsor = await members.first_working(staying, desired.cluster)
    note(f"{name} leaves cluster {desired.cluster}: its guests go first")
    wanted = EvacuateNode(name, sorted(staying), stack_tag(desired.stack), desired.timeout_s)
    left = await run_step(sponsor, "evacuate-node", wanted, timeout_s=EVACUATION_S)
    for named in left.facts["named_by"]:
        note(f"{named} names {name}, was not made by this stack, and stays as it is")
    await _power_off(one, desired.stack, desired.housing.values(), private_key)
    await _prove_off(one, staying)
    await run_step(sponsor, "remove-member", RemoveMember(name, one.addresses), timeout_s=STEP_S)
    note(f"{name} is off the list; looking at the others")
    await verification.until_as_described(desired.cluster, desired.members, staying, timeout_s=desired.timeout_s)


async def take_back(now: Situation, desired: ClusterChange) -> bool:
    """Undo what an earlier run began of a removal, for members that are described again; returns whether anything was.

    Without a working member nothing is: those that call say so, if they need one.

    Raises:
        StepError: those of the on-node step.
    """
    working = next((name for name, report in now.reports.items() if report.works), None)
    if working is None:
        return False
    sponsor = members.connected(now.opened, working)
    wanted = KeepMembers(sorted(member.name for member in desired.members), stack_tag(desired.stack))
    taken_back = (await run_step(sponsor, "keep-members", wanted, timeout_s=STEP_S, quiet=True)).changed
    if taken_back:
        note("a removal was begun and taken back: HA gives that node guests again")
    return taken_back


async def clear(name: str, now: Situation, desired: ClusterChange, private_key: str) -> bool:
    """Remove what is left of a node that is off the list already; returns whether anything was.

    Somebody may have taken it off the list by hand while it was on: a node that still has the cluster's configuration is
    powered off first. One that was made stand-alone, or is not reached, is left as it is.

    Raises:
        StepError: as :func:`remove`.
    """
    remembered = now.known[name]
    staying = {member.name: members.connected(now.opened, member.name) for member in desired.members}
    sponsor = await members.first_working(staying, desired.cluster)
    if remembered.machine is not None:
        node = await _still_configured(remembered.machine, desired.cluster, private_key)
        if node is not None:
            one = Leaving(node, remembered.machine, remembered.housing)
            await _power_off(one, desired.stack, desired.housing.values(), private_key)
            await _prove_off(one, staying)
    wanted = RemoveMember(name, list(remembered.addresses))
    return (await run_step(sponsor, "remove-member", wanted, timeout_s=STEP_S)).changed


async def _still_configured(machine: Machine, cluster: str, private_key: str) -> ConfNode | None:
    """The node as its own configuration of that cluster lists it; None without one, or where it does not answer."""
    try:
        async with ssh.connect(machine, private_key, timeout_s=CONNECT_S) as connection:
            read_conf = await connection.run(f"cat {LOCAL_CONF}", timeout_s=COMMAND_S)
    except StepError:
        return None
    conf = parse_conf(read_conf.stdout)
    return conf.node(machine.name) if conf is not None and conf.cluster == cluster else None


# -- power -------------------------------------------------------------------------------------------------------------


async def _power_off(one: Leaving, stack: str, others: Collection[Housing], private_key: str) -> None:
    """Let it shut down; its VM is seen stopped, unless that number is another node's by now.

    Raises:
        AdminError: foreign-vmid, node-still-there.
        StepError: why it could not be powered off.
    """
    try:
        async with ssh.connect(one.machine, private_key, timeout_s=CONNECT_S) as connection:
            note(f"{one.node.name} is powered off")
            await connection.run("systemctl poweroff", timeout_s=COMMAND_S)
    except StepError as error:
        if error.code == "host-key-mismatch":
            raise _another_machine(one, error) from None
        # It went down before the command's end was reported, or is off already: whether it is off is seen below. One without
        # /etc/pve has no keys (F10): its VM is switched off.
        passed = ("host-unreachable", "ssh-timeout", *(("ssh-auth-failed",) if one.housing else ()))
        if error.code not in passed:
            raise
    if one.housing is not None and one.housing not in others:
        async with ssh.connect(one.housing.host, private_key) as host:
            await _stop_vm(one, host, one.housing.vmid, stack)


def _another_machine(one: Leaving, error: StepError) -> AdminError:
    """Installed anew, or another one at its address: it is not ours to power off, and hides whether the member is off."""
    name, address = one.node.name, one.machine.address
    return AdminError(
        "node-still-there",
        f"another machine is at the address of {name}, so nobody can see that {name} is off",
        observed=error.observed,
        expected=f"no answer at {address}, or {name} as it was described last",
        fix=f"power off what is at {address}, and run the same command again; if that is {name}, installed anew: you may as well "
        f"describe {name} again, with its new host key, and it takes the old one's place",
    )


async def _stop_vm(one: Leaving, host: Connection, vmid: int, stack: str) -> None:
    """See the node's VM stopped on its host; one that does not shut down is switched off.

    Raises:
        AdminError: foreign-vmid, node-still-there.
    """
    seen = await proxmox_ve.look(host, stack)
    vm = next((thing for thing in seen.things if marks.same(thing, marks.VM, str(vmid))), None)
    if vm is None:
        return  # destroyed already
    if not vm.ours:
        raise marks.foreign(
            "foreign-vmid",
            f"VM {vmid} is somebody else's by now, and is left alone",
            observed=vm.shown,
            expected=f"the VM of {one.node.name}, which has {marks.mark(vm, stack)}, or none of that number",
        )
    look = partial(nested_vm.status, host, vm)
    if await until_async(look, _is_stopped, timeout_s=SHUTDOWN_S, poll_s=POLL_S) == proxmox_ve.STOPPED:
        return
    note(f"{one.node.name} does not shut down: VM {vmid} on {host.machine.name} is switched off")
    await host.run(proxmox_ve.stop_vm(vm), timeout_s=STOP_S)
    status = await until_async(look, _is_stopped, timeout_s=STOP_S, poll_s=POLL_S)
    if status != proxmox_ve.STOPPED:
        raise _still_there(one.node.name, f"VM {vmid} on {vm.node}: {status or 'its status is unknown'}")


def _is_stopped(status: str) -> bool:
    return status == proxmox_ve.STOPPED


# -- proof -------------------------------------------------------------------------------------------------------------


async def _prove_off(one: Leaving, staying: Mapping[str, Connection]) -> None:
    """Wait until no member that stays sees anything of it.

    Raises:
        AdminError: node-still-there.
        StepError: why a member did not answer.
    """
    wanted = NodeGone(one.node.name, one.node.id, one.addresses)

    async def traces(connection: Connection) -> NodeTraces:
        result = await run_step(connection, "node-gone", wanted, timeout_s=STEP_S, quiet=True)
        return read(NodeTraces, connection.machine.name, result.facts)

    async def look() -> list[str]:
        answers = members.all_answered(await members.ask(staying, traces))
        return [f"{name}: {', '.join(found.seen)}" for name, found in answers.items() if found.seen]

    note(f"waiting until {', '.join(staying)} see nothing of {one.node.name} any more")
    if seen := await until_async(look, lambda found: not found, timeout_s=GONE_S, poll_s=POLL_S):
        raise _still_there(one.node.name, "; ".join(seen))


def _still_there(node: str, observed: str) -> AdminError:
    return AdminError(
        "node-still-there",
        f"{node} is not off, so it is not removed from the cluster",
        observed=observed,
        expected="no vote, no answer to ping, and no machine at the SSH port of its addresses",
    )
