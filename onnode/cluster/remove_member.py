"""remove-member: a node that is off leaves the cluster's list, and what is left of it goes. Asked on a working member.

The caller has seen that the node is off. `pvecm delnode` goes by the node's id, so it is not called while that id is there twice.
HA maintenance of the node ends before that: HA keeps the request for ever, takes back none for a node that it does not know, and
would have the next node of that name in maintenance from its first minute (PVE/HA/Manager.pm, CLI/ha_manager.pm).
Whatever is removed from /etc/pve is kept on this member first (:mod:`onnode.cluster.set_aside`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, ha_manager, maintenance, membership, set_aside
from onnode.cluster.evacuate_node import LEAVING
from onnode.contract.removal import RemoveMember
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import marks
from onnode.system.machine import tail
from onnode.system.pve import parse_sections

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

NODES = "/etc/pve/nodes"
KEYS = "/etc/pve/priv/authorized_keys"
JOBS = "/etc/pve/replication.cfg"
HOSTS = "/etc/pve/priv/known_hosts"
DELETE_S = 60.0
FILES_S = 60.0
LOOK_S = 15.0
SETTLE_S = 30.0  # until corosync has read the configuration again
# The rest comes on standard input; a file in /etc/pve is put in place whole.
REPLACE = 'umask 077; cat > "$1.nested-pve-ha-new" && mv "$1.nested-pve-ha-new" "$1"'


@dataclass(frozen=True)
class Observed:
    """What is there of the node.

    Attributes:
        here: the name of this member.
        conf: the cluster's configuration.
        quorum: as this member sees it.
        guests: configured on the node.
        jobs: replication jobs to it.
        maintained: whether HA was asked to have it in maintenance.
        marked: whether a removal has marked it.
        directory: whether it has one in /etc/pve/nodes.
        keys: how many lines of the cluster's authorized_keys are its own.
        hosts: the same for the cluster's known_hosts.
    """

    here: str
    conf: corosync.Conf | None = None
    quorum: corosync.Quorum | None = None
    guests: list[int] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    maintained: bool = False
    marked: bool = False
    directory: bool = False
    keys: int = 0
    hosts: int = 0


def observe(machine: ThisMachine, desired: RemoveMember) -> Observed:
    """Look at the list, at the vote, and at what is left of the node."""
    jobs = parse_sections(machine.read(JOBS) or "")
    return Observed(
        membership.hostname(machine),
        listed_nodes(machine),
        seen_quorum(machine),
        membership.guests(machine, desired.node),
        [job.id for job in jobs if job.values.get("target") == desired.node],
        ha_manager.observe(machine, desired.node).requested,
        marks.owner(machine, LEAVING, desired.node) is not None,
        desired.node in machine.names(NODES),
        len(_own_keys(machine.read(KEYS) or "", desired)),
        len(_own_hosts(machine.read(HOSTS) or "", desired)),
    )


def _own_keys(text: str, desired: RemoveMember) -> list[str]:
    """The lines that Proxmox VE wrote for the node: type, key, and `root@NAME` as the comment."""
    lines = [(line, line.split()) for line in text.splitlines()]
    return [line for line, words in lines if len(words) == 3 and words[2] == f"root@{desired.node}"]  # noqa: PLR2004


def _own_hosts(text: str, desired: RemoveMember) -> list[str]:
    """The lines that are about nothing but the node."""
    names = {desired.node.lower(), *desired.addresses}
    lines = [(line, line.split()) for line in text.splitlines() if not line.startswith("#")]
    return [line for line, words in lines if words and {name.lower() for name in words[0].split(",")} <= names]


def decide(observed: Observed, desired: RemoveMember) -> list[Action]:
    """Jobs and maintenance first, as they cannot be removed later; then the list; then what is left.

    Raises:
        StepError: member-itself, no-quorum, node-still-there, member-id-twice, member-has-guests.
    """
    listed = observed.conf.node(desired.node) if observed.conf else None
    _refuse(observed, desired)
    if observed.jobs:
        return [Action("keep-replication", JOBS), *(Action("remove-replication", job) for job in observed.jobs)]
    if listed is not None and observed.maintained:
        return [Action("end-maintenance", desired.node)]
    if listed is not None:
        return [Action("remove-member", desired.node)]
    actions = [Action("remove-directory", f"{NODES}/{desired.node}")] if observed.directory else []
    actions += [Action("remove-keys", KEYS)] if observed.keys else []
    actions += [Action("remove-hosts", HOSTS)] if observed.hosts else []
    return [*actions, *([Action("remove-mark", desired.node)] if observed.marked else [])]


def _refuse(observed: Observed, desired: RemoveMember) -> None:
    if observed.here == desired.node:
        raise StepError("member-itself", f"{desired.node} cannot remove itself", observed=f"this is {observed.here}")
    quorum, conf = observed.quorum, quorate_conf(observed.here, observed.conf, observed.quorum)
    if observed.guests:
        raise StepError(
            "member-has-guests",
            f"guests are still configured on {desired.node}",
            observed=f"{NODES}/{desired.node} has {', '.join(map(str, observed.guests))}",
            expected="no guest",
        )
    if (listed := conf.node(desired.node)) is None:
        return
    if quorum is not None and listed.id in {voter.id for voter in quorum.members}:
        raise still_there(desired.node, f"it votes in the eyes of {observed.here}")
    refuse_doubled(conf)


def quorate_conf(here: str, conf: corosync.Conf | None, quorum: corosync.Quorum | None) -> corosync.Conf:
    """The list of nodes, of a member that can change it.

    Raises:
        StepError: no-quorum.
    """
    if conf is None or quorum is None or not quorum.quorate:
        votes = corosync.votes(conf.nodes if conf else [], quorum)
        raise StepError("no-quorum", f"{here} cannot change the cluster", observed=votes, expected="a quorate member")
    return conf


def refuse_doubled(conf: corosync.Conf) -> None:
    """Refuse a list with an id twice: `pvecm delnode` goes by it.

    Raises:
        StepError: member-id-twice.
    """
    if doubled := corosync.doubled_ids(conf.nodes):
        raise StepError(
            "member-id-twice",
            "the cluster's configuration holds a node id twice, and a member is removed by its id",
            observed="; ".join(doubled),
            expected="an id of its own for each node",
        )


def still_there(node: str, observed: str) -> StepError:
    """The refusal to remove a node that is not off."""
    return StepError(
        "node-still-there",
        f"{node} is not off, so it is not removed",
        observed=observed,
        expected="no vote, and no answer",
    )


def act(machine: ThisMachine, desired: RemoveMember, action: Action) -> None:
    """Do one of them. Exit codes prove nothing: all is looked at again."""
    if action.do == "keep-replication":
        set_aside.keep_file(machine, desired.node, action.what)
    elif action.do == "remove-replication":
        # Without force Proxmox VE would first clean up on the node, which is off.
        machine.run(["pvesh", "delete", f"/cluster/replication/{action.what}", "--force", "1"], timeout_s=DELETE_S)
    elif action.do == "end-maintenance":
        maintenance.withdraw(machine, desired.node)
    elif action.do == "remove-member":
        take_off_the_list(machine, desired.node)
    elif action.do == "remove-mark":
        marks.take_away(machine, LEAVING, desired.node)
    elif action.do == "remove-directory":
        set_aside.keep(machine, desired.node)
        machine.check(["rm", "-rf", "--", action.what], timeout_s=FILES_S)
    else:
        own = _own_keys if action.do == "remove-keys" else _own_hosts
        _drop(machine, action.what, own(machine.read(action.what) or "", desired))


def take_off_the_list(machine: ThisMachine, node: str) -> None:
    """Take a node off the list, and see that it is off and its votes are expected no more.

    Raises:
        StepError: remove-failed.
    """
    conf, quorum = listed_nodes(machine), seen_quorum(machine)
    before = quorum.expected if quorum else 0
    listed = conf.node(node) if conf else None
    said = machine.run(["pvecm", "delnode", node], timeout_s=DELETE_S)
    machine.note(tail(said.text))

    def is_done() -> bool:
        conf, quorum = listed_nodes(machine), seen_quorum(machine)
        if conf is None or quorum is None or conf.node(node) is not None:
            return False
        fewer = quorum.expected < before or (listed is not None and not listed.votes)
        return fewer or quorum.expected == corosync.expected_votes(conf.nodes, conf.device)

    if not machine.wait_for(is_done, SETTLE_S):
        still = (found := listed_nodes(machine)) is not None and found.node(node) is not None
        where = "is still on the list" if still else "is off the list, and its votes are still expected"
        raise StepError("remove-failed", f"{node} {where}", observed=tail(said.text))


def listed_nodes(machine: ThisMachine) -> corosync.Conf | None:
    """The cluster's configuration, with the list of nodes."""
    return corosync.parse_conf(machine.read(membership.PVE_CONF) or "")


def seen_quorum(machine: ThisMachine) -> corosync.Quorum | None:
    """The vote as this member sees it."""
    return corosync.parse_quorum(machine.run(["corosync-quorumtool", "-siH"], timeout_s=LOOK_S).out)


def _drop(machine: ThisMachine, path: str, own: list[str]) -> None:
    text = machine.read(path)
    if text is not None:
        left = "".join(line for line in text.splitlines(keepends=True) if line.rstrip("\n") not in own)
        machine.check(["sh", "-c", REPLACE, "sh", path], stdin=left, timeout_s=FILES_S)


def facts(observed: Observed, desired: RemoveMember) -> dict[str, Any]:
    """Which node, and which are left."""
    return {
        "removed": desired.node,
        "nodes": sorted(node.name for node in observed.conf.nodes) if observed.conf else [],
    }


def unchanged(_observed: Observed, desired: RemoveMember) -> str:
    """Say what was found."""
    return f"nothing is left of {desired.node}"


STEP = Step(RemoveMember, observe, decide, act, facts, unchanged)
