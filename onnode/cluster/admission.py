"""Making a member of this node, as far as creating a cluster and joining one do the same: look, refuse, finish, wait.

Proxmox' own tools wait for quorum without bound and exit 0 on failure (F3): nothing here trusts an exit code, and
every wait ends.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnode.cluster import corosync, membership, qdevice, way_in
from onnode.errors import StepError
from onnode.system import network

if TYPE_CHECKING:
    from onnode.contract.links import ClusterLink
    from onnode.system.machine import ThisMachine

SERVICE_S = 60.0
API_PORT = 8006
LINKS_S = 30.0
PVECM = re.compile(r"(?:^|\W)pvecm\0(add|create)\0")  # in a command line of /proc, whatever interprets it
OLD_WORKERS_S = 15.0  # they live for 5 s after a reload; a busy machine is slower


@dataclass(frozen=True)
class Candidate:
    """This node's membership, addresses, name, and the certificate that its API presents."""

    member: membership.NodeState
    addresses: list[str] = field(default_factory=list)
    resolves: list[str] = field(default_factory=list)
    served: str | None = None  # fingerprint; None: the API does not answer
    way_in: bool = False  # a second file of SSH keys, open during a join


def observe(machine: ThisMachine) -> Candidate:
    """Look at this node."""
    member = membership.observe(machine)
    live = network.interfaces(machine)
    return Candidate(
        member,
        [address.partition("/")[0] for found in live for address in found.addresses],
        network.resolve(machine, member.node),
        membership.fingerprint(machine.served_certificate(API_PORT)),
        way_in.is_open(machine),
    )


def wait_for_pvecm(machine: ThisMachine, timeout_s: float) -> None:
    """Wait for a `pvecm add` or `pvecm create` that runs already: it lives on when the step that began it is killed.

    Until it has ended, nothing here shows what becomes of the node; and a second one beside it would spoil the first.

    Args:
        machine: this node.
        timeout_s: for its end, and again for the quorum of the member that it made.

    Raises:
        StepError: join-running.
    """
    if not (running := _pvecm(machine)):
        return
    machine.note(f"waiting for the end of {running}, which an earlier run began")
    if not machine.wait_for(lambda: not _pvecm(machine), timeout_s):
        raise StepError(
            "join-running",
            "an earlier run's `pvecm` still runs on this node",
            observed=f"{_pvecm(machine)}, for more than {timeout_s:g} s",
            expected="its end",
            fix="on the node: `pgrep -af pvecm` shows it; wait for its end, or `kill` it, and run the same command again",
        )
    # As after one of our own; without a cluster it failed, and is begun again.
    machine.wait_for(lambda: (member := membership.observe(machine)).conf is None or member.quorate, timeout_s)


def _pvecm(machine: ThisMachine) -> str:
    """The first `pvecm add` or `pvecm create` among the processes, for messages; empty without one."""
    for pid in filter(str.isdigit, machine.names("/proc")):
        with contextlib.suppress(ProcessLookupError):  # it ended at this moment
            if found := PVECM.search(machine.read(f"/proc/{pid}/cmdline") or ""):
                return f"`pvecm {found[1]}` (process {pid})"
    return ""


def refuse_unready(observed: Candidate, node: str, links: list[ClusterLink]) -> None:
    """Refuse to make a member of a node that could not be a healthy one.

    Raises:
        StepError: hostname, hostname-resolution, link-address.
    """
    if observed.member.node != node:
        raise StepError("hostname", "the machine has another name", observed=observed.member.node, expected=node)
    if not observed.resolves or any(address.startswith("127.") for address in observed.resolves):
        raise StepError(
            "hostname-resolution",
            f"the name {node} does not resolve to an address that other nodes can reach",
            observed=", ".join(observed.resolves) or "no address",
            expected="an address that is not 127.x",
        )
    if absent := [link for link in links if link.address not in observed.addresses]:
        raise StepError(
            "link-address",
            "a link address of this node is not up",
            observed=f"this node has {', '.join(observed.addresses) or 'no address'}",
            expected=", ".join(f"link {link.number}: {link.address}" for link in absent),
        )


def refuse_other_cluster(observed: Candidate, cluster: str) -> None:
    """Refuse a node that belongs, or half belongs, to another cluster.

    Raises:
        StepError: other-cluster.
    """
    conf = observed.member.conf
    if conf is not None and conf.cluster != cluster:
        raise StepError(
            "other-cluster",
            f"{observed.member.node} belongs to another cluster",
            observed=f"cluster {conf.cluster}",
            expected=f"cluster {cluster}, or none",
        )


def refuse_different(observed: Candidate, node_id: int, votes: int, links: list[ClusterLink]) -> None:
    """Refuse a member whose identity differs from the described one.

    Raises:
        StepError: member-differs.
    """
    conf = observed.member.conf
    found = conf.node(observed.member.node) if conf else None
    wanted = corosync.ConfNode(observed.member.node, node_id, votes, {link.number: link.address for link in links})
    if found != wanted:
        raise StepError(
            "member-differs",
            f"{observed.member.node} is a member, but not as described",
            observed=_described(found) if found else "not in the cluster's list of nodes",
            expected=_described(wanted),
        )


def _described(node: corosync.ConfNode) -> str:
    links = ", ".join(f"link{number} {address}" for number, address in sorted(node.links.items()))
    return f"id {node.id}, votes {node.votes}, {links}"


def settled(observed: Candidate) -> bool:
    """Whether a member is quorate, can write, and its API presents the cluster's certificate."""
    member = observed.member
    return member.state == "member" and member.quorate and member.pve_writable and observed.served == member.certificate


def finish(machine: ThisMachine, timeout_s: float, workers: frozenset[str] = frozenset()) -> None:
    """Bring a half-made member forward: its services, quorum, certificates, API.

    This is what `pvecm add` still had to do when it was cut off after the cluster had taken the node in.

    Args:
        machine: this node.
        timeout_s: for the quorum.
        workers: of the API, that answered before its certificate changed.

    Raises:
        StepError: no-quorum, api-down, or that of a failing command.
    """
    machine.run(["systemctl", "reset-failed", "corosync", "pve-cluster"])
    member = membership.observe(machine)
    if member.pve_conf is not None and member.local_conf is None:
        # pmxcfs gives corosync its configuration when it starts, and goes on alone if there was none then.
        machine.run(["systemctl", "restart", "pve-cluster"], timeout_s=SERVICE_S)
    device = [qdevice.UNIT] if qdevice.is_due(machine) else []  # it ended with corosync, and its vote may be needed
    machine.run(["systemctl", "start", "pve-cluster", "corosync", *device], timeout_s=SERVICE_S)
    wait_for_quorum(machine, timeout_s)
    _certify(machine, workers)


def _certify(machine: ThisMachine, workers: frozenset[str]) -> None:
    """Make what is missing of keys and certificates, and let the API present its own."""
    own = membership.fingerprint(membership.certificate(machine, membership.hostname(machine)))
    machine.check(["pvecm", "updatecerts", *([] if own else ["--force"])], timeout_s=SERVICE_S)
    if own is None or membership.fingerprint(machine.served_certificate(API_PORT)) != own:
        workers |= api_workers(machine)
        machine.check(["systemctl", "reload-or-restart", "pvedaemon", "pveproxy"], timeout_s=SERVICE_S)
    wait_for_api(machine, workers)


def wait_for_quorum(machine: ThisMachine, timeout_s: float) -> None:
    """Wait until this node is quorate and /etc/pve takes writes (a few seconds after quorum, not with it).

    Raises:
        StepError: no-quorum.
    """

    def quorate() -> bool:
        text = machine.run(["corosync-quorumtool", "-siH"], timeout_s=membership.LOOK_S).out
        quorum = corosync.parse_quorum(text)
        return quorum is not None and quorum.quorate and membership.pve_writable(machine)

    if not machine.wait_for(quorate, timeout_s):
        raise no_quorum(membership.observe(machine), timeout_s)


def no_quorum(member: membership.NodeState, timeout_s: float) -> StepError:
    """The node did not become, or is not, part of a quorate cluster."""
    nodes = member.conf.nodes if member.conf else []
    broken = [f"link {link.link} to node {link.node_id}" for link in member.links if not link.connected]
    down = [node.name for node in corosync.silent(nodes, member.quorum) if node.name != member.node]
    fix = f"power on {' or '.join(down)}, or `systemctl start corosync` there; if up, check the links" if down else ""
    if member.quorum is None:
        fix = f"`journalctl -b -u corosync` on {member.node} shows why it does not run"
    return StepError(
        "no-quorum",
        f"{member.node} is not in a quorate cluster",
        observed=f"{corosync.votes(nodes, member.quorum)}; not connected: {', '.join(broken) or 'nothing'}",
        expected=f"quorum and a writable /etc/pve within {timeout_s:g} s",
        fix=fix and f"{fix}; then run the same command again",
    )


def api_workers(machine: ThisMachine) -> frozenset[str]:
    """The processes that answer for the API at this moment."""
    shown = machine.run(["systemctl", "show", "--property=MainPID", "--value", "pveproxy"], timeout_s=membership.LOOK_S)
    main = shown.out.strip()
    return frozenset((machine.read(f"/proc/{main}/task/{main}/children") or "").split())


def end_old_workers(machine: ThisMachine, workers: frozenset[str]) -> None:
    """End the API's workers that `pvecm add` left with the certificate of before; a restart takes less than their 5 s.

    The API of a node that has just joined, and has no guests, is nobody's way to anything yet.

    Args:
        machine: this node.
        workers: that answered before the certificate changed.

    Raises:
        StepError: command-failed.
    """
    if workers & api_workers(machine):
        machine.check(["systemctl", "restart", "pveproxy"], timeout_s=SERVICE_S)


def wait_for_api(machine: ThisMachine, workers: frozenset[str] = frozenset()) -> None:
    """Wait until the API answers with the certificate that the cluster gave the node, and with no other (F5, F25).

    A reload of pveproxy leaves the old workers beside the new ones for 5 s, and both answer by turns: while one of them
    lives, a look proves nothing.

    Args:
        machine: this node.
        workers: that answered before the certificate changed, or before the reload.

    Raises:
        StepError: api-down.
    """
    node = membership.hostname(machine)

    def answers() -> bool:
        served = membership.fingerprint(machine.served_certificate(API_PORT))
        return served is not None and served == membership.fingerprint(membership.certificate(machine, node))

    there = machine.wait_for(answers, SERVICE_S)
    if workers:
        machine.wait_for(lambda: not workers & api_workers(machine), OLD_WORKERS_S)
        there = answers()
    if not there:
        answer = "another certificate" if machine.served_certificate(API_PORT) else "no answer"
        raise StepError(
            "api-down",
            f"the API of {node} does not answer with the node's certificate",
            observed=f"port {API_PORT}: {answer}",
            expected="an answer with /etc/pve/local/pve-ssl.pem",
        )


def voters(member: membership.NodeState) -> int:
    """How many nodes vote together at this moment, this one included."""
    return len(member.quorum.members) if member.quorum else 0


def broken_links(member: membership.NodeState) -> list[str]:
    """The links to nodes that vote at this moment which are not connected; those of a dead node do not count."""
    voting = {voter.id: voter for voter in member.quorum.members} if member.quorum else {}
    names = {node.id: node.name for node in member.conf.nodes} if member.conf else {}
    return [
        f"link {link.link} to {names.get(link.node_id, link.node_id)}"
        for link in member.links
        if link.node_id in voting and not link.connected
    ]


def wait_for_links(machine: ThisMachine) -> None:
    """Wait until every link to every voting node is connected.

    Raises:
        StepError: link-not-connected.
    """
    if not machine.wait_for(lambda: not broken_links(membership.observe(machine)), LINKS_S):
        member = membership.observe(machine)
        raise StepError(
            "link-not-connected",
            f"not all links of {member.node} are connected",
            observed=f"not connected: {', '.join(broken_links(member))}",
            expected="every link to every running member is connected",
        )
