"""node-gone: what this member sees of a node that is to be off for good. Changes nothing.

A firewall may answer no ping, so silence there proves little; a vote, an answer to ping, or a machine that answers or refuses a
connection to its SSH port prove that the node, or another machine at its address, is on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync
from onnode.contract.documents import document
from onnode.contract.removal import NodeGone, NodeTraces
from onnode.step import Step, act_never, decide_nothing

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

LOOK_S = 15.0
SSH_PORT = 22
PINGS = ("ping", "-n", "-q", "-c", "2", "-i", "0.3", "-W", "1")


def observe(machine: ThisMachine, desired: NodeGone) -> NodeTraces:
    """Ask corosync, and all addresses at once."""
    quorum = corosync.parse_quorum(machine.run(["corosync-quorumtool", "-siH"], timeout_s=LOOK_S).out)
    votes = quorum is not None and desired.node_id in {voter.id for voter in quorum.members}
    with ThreadPoolExecutor() as pool:
        # Both begin at once: silence is waited for.
        answers = pool.map(lambda address: _answers_ping(machine, address), desired.addresses)
        ports = list(pool.map(lambda address: machine.is_at(address, SSH_PORT), desired.addresses))
        pings = list(answers)
    return NodeTraces(
        ["it votes"] * votes
        + [f"{address} answers ping" for address, found in zip(desired.addresses, pings, strict=True) if found]
        + [
            f"a machine is at {address}, port {SSH_PORT}"
            for address, found in zip(desired.addresses, ports, strict=True)
            if found
        ]
    )


def _answers_ping(machine: ThisMachine, address: str) -> bool:
    return machine.run([*PINGS, address], timeout_s=LOOK_S).code == 0


def facts(seen: NodeTraces, _desired: NodeGone) -> dict[str, Any]:
    """All that was seen."""
    return document(seen)


def unchanged(seen: NodeTraces, desired: NodeGone) -> str:
    """Say what was found."""
    return f"{desired.node}: {'; '.join(seen.seen) or 'nothing answers'}"


STEP = Step(NodeGone, observe, decide_nothing, act_never, facts, unchanged, lock="none")
