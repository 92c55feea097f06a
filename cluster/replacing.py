"""Lost members: which they are, that they are lost in the eyes of all others, and how their entries in the cluster go.

So does the entry of a node that is described no more and is off already, without guests: its vote only costs.

A member is lost when its VM is not on its outer host, or when its machine answers as a stand-alone one, because somebody installed
it anew. Only nodes that a quorate cluster lists, and that do not vote there, are asked about. The steps come from this checkout:
the members may still have the package of an earlier version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import marks, proxmox_ve
from cluster.call import note
from cluster.errors import AdminError
from cluster.planning import live
from cluster.planning.model import RemoveMember, ReplaceMember
from cluster.reports import read
from cluster.transport import members, shipped
from cluster.waiting import until_async
from onnode.contract.health import Health
from onnode.contract.removal import NodeGone, NodeTraces, ReleaseMember

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.contract import ClusterChange, Housing, Machine
    from cluster.marks import Look
    from cluster.planning.known import KnownMember
    from cluster.transport.ssh import Connection
    from onnode.cluster.corosync import ConfNode
    from onnode.contract.membership import Membership

LOOK_S = 60.0
RELEASE_S = 180.0
# Fencing takes Proxmox VE up to three minutes. Guests that may run on no other node stay; so it ends.
RECOVERY_S = 300.0
RECOVERY_POLL_S = 5.0
AT_REST = ("error", "recovery", "stopped", "disabled", "ignored")  # states of HA in which nothing is to be waited for


def refuse_other_vm(desired: ClusterChange, known: Mapping[str, KnownMember], newest: Membership) -> None:
    """Refuse a listed node whose VM would be replaced: nobody would have taken it out of the cluster before. Pure.

    Another outer host is no other VM: it may have been migrated there.

    Raises:
        AdminError: vm-changed.
    """
    described = {member.name for member in desired.members}
    former = {
        name: one.housing for name, one in known.items() if one.machine and newest.listed(name) and name in described
    }
    changed = {
        name: before
        for name, before in sorted(former.items())
        if (before.vmid if before else None) != (vm.vmid if (vm := desired.housing.get(name)) else None)
    }
    if changed:
        raise AdminError(
            "vm-changed",
            "a member keeps its VM as long as the cluster lists it",
            observed="; ".join(f"{name} is {_home(desired.housing.get(name))} in the stack file" for name in changed),
            expected="; ".join(f"{name} is {_home(before)}" for name, before in changed.items()),
            fix=f"put it back; or leave {', '.join(changed)} out, `make up`, and describe it again as it is to be",
        )


def _home(housing: Housing | None) -> str:
    return f"VM {housing.vmid}" if housing else "an existing machine"


async def without_machine(
    desired: ClusterChange,
    known: Mapping[str, KnownMember],
    key: str,
    seen: Mapping[str, Membership],
    newest: Membership,
) -> set[str]:
    """The silent members whose VM is gone from its outer host.

    A host that does not answer, or cannot list its guests, proves nothing.

    Args:
        desired: the nodes, with their VMs.
        known: those that earlier runs described: of one that had another VM, that one would have to be gone.
        key: opens the outer hosts.
        seen: what each node reports that answers.
        newest: the report whose configuration counts.
    """
    hosts = {vm.host.name: vm.host for vm in _sought(desired, known, seen, newest).values()}
    async with members.connections(hosts.values(), key) as opened:
        answers = await members.ask(opened, lambda connection: proxmox_ve.look(connection, desired.stack))
    return not_there(desired, known, seen, newest, members.answered(answers))


def not_there(
    desired: ClusterChange,
    known: Mapping[str, KnownMember],
    seen: Mapping[str, Membership],
    newest: Membership,
    looks: Mapping[str, Look],
) -> set[str]:
    """The same, from looks at outer hosts by their names; pure."""
    listing = {name: look.things for name, look in looks.items() if look.quorate}
    return {
        name
        for name, vm in _sought(desired, known, seen, newest).items()
        if vm.host.name in listing
        and not any(marks.same(thing, marks.VM, str(vm.vmid)) for thing in listing[vm.host.name])
    }


def _sought(
    desired: ClusterChange, known: Mapping[str, KnownMember], seen: Mapping[str, Membership], newest: Membership
) -> dict[str, Housing]:
    """The VMs of the silent members."""
    silent = [member.name for member in desired.members if member.name not in seen and _is_idle(newest, member.name)]
    vms = {name: desired.housing[name] for name in silent if newest.quorate and name in desired.housing}
    return {name: vm for name, vm in vms.items() if name not in known or known[name].housing in (None, vm)}


def _is_idle(newest: Membership, name: str) -> bool:
    """Whether the cluster lists a node that does not vote."""
    listed = newest.listed(name)
    return listed is not None and listed.id not in newest.voters


async def release(
    going: Sequence[ReplaceMember | RemoveMember],
    desired: ClusterChange,
    known: Mapping[str, KnownMember],
    key: str,
    seen: Mapping[str, Membership],
) -> list[str]:
    """Let the cluster forget members without a vote one after another, each proven gone by every member that votes.

    One that is described no more stays for now if it is on or has guests: it is removed after others have joined.

    Args:
        going: which, and whether they come again.
        desired: the described nodes.
        known: those that earlier runs described.
        key: opens all of them.
        seen: what each node reports that answers: a stand-alone machine under the name of a lost one is no trace of that.

    Returns:
        The names of those that were released.

    Raises:
        StepError: node-still-there, or why a member did not answer; those of the on-node step.
    """
    newest = live.newest(seen.values())
    if newest is None or not going:
        return []
    machines: dict[str, Machine] = {member.name: member for member in desired.members}
    machines |= {name: one.machine for name, one in known.items() if one.machine and name not in machines}
    voting = [machines[node.name] for node in newest.nodes if node.id in newest.voters and node.name in machines]
    released = []
    async with members.connections(voting, key) as opened:
        for one in going:
            listed = newest.listed(one.name)
            if listed is None or one.name not in machines:
                continue  # the step that removes members says what is to be done
            here = await members.first_working(opened, desired.cluster)
            guests = await _recovered(here, one.name)
            traces = await _traces(opened, listed, _addresses(listed, machines, desired), anew=one.name in seen)
            if isinstance(one, RemoveMember) and (traces or guests):
                continue
            if traces:
                raise _still_there(one.name, traces)
            how = "lost" if isinstance(one, ReplaceMember) else "off"
            note(f"{one.name} is {how}: its entry in the cluster is released")
            wanted = ReleaseMember(one.name, listed.id)
            await shipped.run(here, "release-member", wanted, timeout_s=RELEASE_S, quiet=False)
            released.append(one.name)
    return released


async def forget(here: Connection, opened: members.Opened, listed: ConfNode, addresses: list[str]) -> None:
    """Let a working member forget one lost node, after HA has taken its guests, and all of these see nothing of it.

    Args:
        here: the working member.
        opened: all members that are left.
        listed: the node.
        addresses: all of its own.

    Raises:
        StepError: node-still-there, or why a member did not answer; those of the on-node step.
    """
    await _recovered(here, listed.name)
    await refuse_seen(opened, listed, addresses)
    await shipped.run(here, "release-member", ReleaseMember(listed.name, listed.id), timeout_s=RELEASE_S, quiet=False)


async def refuse_seen(opened: members.Opened, listed: ConfNode, addresses: list[str]) -> None:
    """Refuse to call a node lost of which any of these still sees anything.

    Raises:
        StepError: node-still-there, or why a member did not answer.
    """
    if traces := await _traces(opened, listed, addresses, anew=False):
        raise _still_there(listed.name, traces)


def _addresses(listed: ConfNode, machines: Mapping[str, Machine], desired: ClusterChange) -> list[str]:
    """Of its links, as the cluster has them and as they are described, and for management."""
    described = [link.address for one in desired.members if one.name == listed.name for link in one.links]
    return sorted({machines[listed.name].address, *listed.links.values(), *described})


async def _traces(opened: members.Opened, listed: ConfNode, addresses: list[str], *, anew: bool) -> list[str]:
    """What members still see: a vote of it, or an answer at its addresses, unless that is the new machine."""
    wanted = NodeGone(listed.name, listed.id, [] if anew else addresses)

    async def ask(connection: Connection) -> NodeTraces:
        found = await shipped.run(connection, "node-gone", wanted, timeout_s=LOOK_S)
        return read(NodeTraces, connection.machine.name, found.facts)

    answers = members.all_answered(await members.ask(opened, ask))
    return [f"{name}: {', '.join(found.seen)}" for name, found in answers.items() if found.seen]


def _still_there(node: str, traces: list[str]) -> AdminError:
    return AdminError(
        "node-still-there",
        f"{node} seems to be lost, and members still see it",
        observed="; ".join(traces),
        expected="no vote, and no answer at its addresses",
    )


async def _recovered(here: Connection, node: str) -> list[str]:
    """Wait until HA has fenced the node and taken its guests elsewhere; what stays is named, and returned."""

    async def look() -> list[str]:
        found = await shipped.run(here, "cluster-health", None, timeout_s=LOOK_S)
        ha = read(Health, here.machine.name, found.facts).ha
        services = ha.services if ha else {}
        return sorted(sid for sid, one in services.items() if one.node == node and one.state not in AT_REST)

    waiting = await look()
    if waiting:
        note(f"waiting until HA takes {', '.join(waiting)} from {node} to another node")
        await until_async(look, lambda left: not left, timeout_s=RECOVERY_S, poll_s=RECOVERY_POLL_S)
    done = await here.run(f"ls /etc/pve/nodes/{node}/qemu-server /etc/pve/nodes/{node}/lxc", timeout_s=LOOK_S)
    left = [word.removesuffix(".conf") for word in done.stdout.split() if word.endswith(".conf")]
    if left:
        note(f"guests {', '.join(left)} stay configured on {node}; what they have on its own disks stays there")
    return left
