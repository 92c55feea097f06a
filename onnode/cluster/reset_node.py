"""reset-node: a machine that left its cluster is a clean stand-alone node again, without a new installation.

It still has the cluster's configuration and key. So before anything else it is cut off from the cluster: corosync stops, and
its link addresses are taken down, until it is stand-alone. The caller has seen that no working member lists it.
The directories of other nodes are kept first (:mod:`onnode.cluster.set_aside`): those of a machine that was stand-alone before may
have been put there by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership, reset, set_aside, way_in
from onnode.contract.removal import ResetNode
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import network
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.cluster import corosync
    from onnode.system.machine import ThisMachine

SERVICE_S = 120.0
FILES_S = 60.0
CUT_OFF = "/run/nested-pve-ha.cut-off"  # while it is there, link addresses are down; a reboot brings them up, too
NODES = "/etc/pve/nodes"
GUESTS = ("qemu-server", "lxc")


@dataclass(frozen=True)
class Observed:
    """The node.

    Attributes:
        member: as `membership` sees it.
        ends: the interface of each of its link addresses that is up, by that address with its prefix.
        cut_off: whether this step took link addresses down.
        others: nodes of the old cluster in /etc/pve/nodes.
        way_in: whether the second way in is still open.
    """

    member: membership.NodeState
    ends: dict[str, str] = field(default_factory=dict)
    cut_off: bool = False
    others: list[str] = field(default_factory=list)
    way_in: bool = False


def observe(machine: ThisMachine, _desired: ResetNode) -> Observed:
    """Look at the node and its addresses."""
    member = membership.observe(machine)
    names = machine.names(NODES) if member.pve_mounted else []
    return Observed(
        member,
        _ends(machine, member),
        machine.exists(CUT_OFF),
        [name for name in names if name != member.node],
        way_in.is_open(machine),
    )


def _ends(machine: ThisMachine, member: membership.NodeState) -> dict[str, str]:
    """The link addresses that can be taken down: not those of the interface over which the machine is managed."""
    listed = member.conf.node(member.node) if member.conf else None
    own = set(listed.links.values()) if listed else set()
    managed = set(network.resolve(machine, member.node))
    live = [(found.name, found.addresses) for found in network.interfaces(machine)]
    return {
        address: name
        for name, addresses in live
        for address in addresses
        if _bare(address) in own and not managed & set(map(_bare, addresses))
    }


def _bare(address: str) -> str:
    return address.partition("/")[0]


def decide(observed: Observed, desired: ResetNode) -> list[Action]:
    """Cut it off, make it stand-alone, take away what is left of the others, and connect it again.

    Raises:
        StepError: other-cluster, node-has-guests, node-votes, works-alone.
    """
    member = observed.member
    if member.state != "absent":
        _refuse(member, desired)
        # Once it is cut off, nothing but a reboot brings the addresses back.
        if observed.ends or member.quorum is not None or not observed.cut_off:
            return [Action("cut-off", member.node)]
        return [Action("reset", member.node)]
    left = [Action("remove-directory", f"{NODES}/{name}") for name in observed.others]
    if left:
        return left
    actions = [Action("connect", member.node)] if observed.cut_off else []
    return [*actions, *([Action("close-way-in")] if observed.way_in else [])]


def _refuse(member: membership.NodeState, desired: ResetNode) -> None:
    if member.conf is not None and member.conf.cluster != desired.cluster:
        raise StepError(
            "other-cluster",
            f"{member.node} belongs to another cluster",
            observed=f"cluster {member.conf.cluster}",
            expected=f"cluster {desired.cluster}, or none",
        )
    if own := [guest for guest in member.guests if guest not in desired.guests]:
        raise StepError(
            "node-has-guests",
            f"{member.node} has guests, and a reset would lose their configuration",
            observed=f"guests {', '.join(map(str, own))}",
            expected="no guests",
        )
    if others := [voter.id for voter in _others(member) if voter.id not in desired.apart]:
        raise StepError(
            "node-votes",
            f"{member.node} votes in a cluster, so it is not reset",
            observed=f"it votes with {len(others)} other nodes",
            expected="a node that left its cluster",
        )
    if member.quorate and not set(desired.apart) & {voter.id for voter in _voting(member)}:
        raise StepError(
            "works-alone",
            f"{member.node} is quorate by itself: it works as a cluster of its own, so it is not reset unasked",
            observed=f"cluster {desired.cluster}, quorate with {member.node} alone",
            expected="a node without quorum, or a person's word that this cluster may go",
        )


def _others(member: membership.NodeState) -> list[corosync.Voter]:
    """The nodes that vote with it."""
    own = member.conf.node(member.node) if member.conf else None
    return [voter for voter in _voting(member) if not voter.local and (own is None or voter.id != own.id)]


def _voting(member: membership.NodeState) -> list[corosync.Voter]:
    return member.quorum.members if member.quorum else []


def act(machine: ThisMachine, desired: ResetNode, action: Action) -> None:
    """Do one of them.

    Raises:
        StepError: reset-failed, or that of a failing command.
    """
    if action.do == "cut-off":
        _cut_off(machine, desired)
    elif action.do == "reset":
        way_in.open_up(machine)
        kinds = [f"{NODES}/{action.what}/{kind}/{guest}.conf" for guest in desired.guests for kind in GUESTS]
        reset.to_stand_alone(machine, kinds)
    elif action.do == "remove-directory":
        set_aside.keep(machine, action.what.removeprefix(f"{NODES}/"))
        machine.check(["rm", "-rf", "--", action.what], timeout_s=FILES_S)
    elif action.do == "connect":
        _connect(machine)
    else:
        way_in.close(machine)


def _cut_off(machine: ThisMachine, desired: ResetNode) -> None:
    """Corosync first: it would put nothing back, but it must not see its links fail one after another."""
    machine.check(["systemctl", "stop", "pve-ha-lrm", "pve-ha-crm", "corosync"], timeout_s=SERVICE_S)
    kept = (machine.read(CUT_OFF) or "").splitlines()  # of a call that was cut off
    ends = observe(machine, desired).ends
    machine.write(CUT_OFF, "".join(f"{address}\n" for address in sorted({*kept, *ends})))
    for address, interface in ends.items():
        machine.note(f"link address {address} of {interface} is taken down")
        machine.check(["ip", "addr", "del", address, "dev", interface])


def _connect(machine: ThisMachine) -> None:
    """The exit code of ifreload counts warnings about other interfaces, too. An address that stands in no file stays away."""
    said = machine.run(["ifreload", "-a"], timeout_s=SERVICE_S)
    live = {address for found in network.interfaces(machine) for address in found.addresses}
    absent = [address for address in (machine.read(CUT_OFF) or "").splitlines() if address not in live]
    if said.code and absent:
        raise StepError(
            "reset-failed",
            "link addresses did not come up again",
            observed=f"missing {', '.join(absent)}; `ifreload -a`: {tail(said.text)}",
            expected="the addresses that were taken down",
            fix="resolve the error of `ifreload -a` on the node, then run the same command again",
        )
    machine.remove(CUT_OFF)


def facts(observed: Observed, _desired: ResetNode) -> dict[str, Any]:
    """The node's state."""
    return {"node": observed.member.node, "state": observed.member.state}


def unchanged(observed: Observed, _desired: ResetNode) -> str:
    """Say what was found."""
    return f"{observed.member.node} is stand-alone"


STEP = Step(ResetNode, observe, decide, act, facts, unchanged)
