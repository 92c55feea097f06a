"""identity: there is a way from the live cluster to the described one. Asked before any node is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import changing, replacing
from cluster.call import note
from cluster.planning import known, live, words
from cluster.planning.model import RemoveMember, ReplaceMember
from cluster.transport import members
from onnode.cluster.corosync import KNET, parse_conf, parse_links, parse_quorum, resolved
from onnode.contract.membership import Membership
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.call import Call
    from cluster.contract import ClusterChange
    from cluster.planning.model import Planned
    from cluster.transport.ssh import Connection

CONNECT_S = 1.0  # a node that is not there yet must not hold up the first run; later steps look again, longer
LOOK_S = 10.0
# Corosync's configuration may give names as link addresses: each is reported with its address, as the node resolves it.
_READ = """hostname
conf=$(cat /etc/pve/corosync.conf 2>/dev/null || cat /etc/corosync/corosync.conf 2>/dev/null)
echo "$conf"
echo "$conf" | sed -n 's/^ *ring[0-9]*_addr: *//p' | sort -u | while read -r name; do
  echo "#resolved $name $(getent ahostsv4 "$name" | head -n1 | cut -d' ' -f1)"
done
[ ! -e /etc/corosync/authkey ] || echo "#authkey"
[ ! -e /etc/pve/corosync.conf.new ] || echo "#edited"
echo "#quorum"
timeout 5 corosync-quorumtool -siH 2>/dev/null
echo "#links"
timeout 5 corosync-cfgtool -s 2>/dev/null
true
"""


async def bring_about(desired: ClusterChange, call: Call) -> Outcome:
    """Plan the way from what every node that answers reports to what is described, and release the entries of lost members.

    Raises:
        AdminError: host-key-mismatch, and those of :func:`cluster.changing.refuse_others` and :func:`cluster.changing.foreseen`.
        StepError: those of :func:`cluster.changing.foreseen` and :func:`cluster.replacing.release`.
    """
    key, before = call.secrets.ssh_private_key, known.known(call.previous)
    async with members.connections(desired.members, key, timeout_s=CONNECT_S) as opened:
        answers = await members.ask(opened, _look)
    for answer in answers.values():
        if isinstance(answer, StepError) and answer.code != "host-unreachable":
            raise answer
    seen = members.answered(answers)
    changing.refuse_others(desired, seen)
    newest = live.newest(seen.values())
    lost: list[str] = []
    if newest is not None:
        gone = await replacing.without_machine(desired, before, key, seen, newest)
        planned = changing.foreseen(desired, call.previous, seen, gone)
        for step in planned:
            note(f"to be done: {words.sentence(step)}")
        lost = await replacing.release(_without_vote(planned, newest), desired, before, key, seen)
    listed = {node.name for node in newest.nodes} if newest else set[str]()
    return Outcome(bool(lost), known.facts(desired, call.previous, listed))


def _without_vote(planned: list[Planned], newest: Membership) -> list[ReplaceMember | RemoveMember]:
    """The members that go before anything else is done: they have no vote, and their entries only cost."""
    voting = {node.name for node in newest.nodes if node.id in newest.voters}
    going: list[ReplaceMember | RemoveMember] = []
    for transition in (step.transition for step in planned):
        if not isinstance(transition, (ReplaceMember, RemoveMember)) or transition.name in voting:
            break
        going.append(transition)
    return going


async def _look(connection: Connection) -> Membership:
    """Straight from the files: an `existing` node may not have the on-node package yet."""
    done = await connection.run(_READ, timeout_s=LOOK_S)
    named, _, text = done.stdout.partition("\n")
    text, _, tools = text.partition("\n#quorum\n")
    votes, _, links = tools.partition("#links\n")
    quorum = parse_quorum(votes)
    conf = resolved(parse_conf(text), _resolver(text))
    return Membership(
        named.partition(".")[0],  # as Proxmox VE names a node: the domain is no part of it
        "member" if conf is not None else "half" if "\n#authkey" in f"\n{text}" else "absent",
        cluster=conf.cluster if conf else None,
        config_version=conf.version if conf else None,
        nodes=conf.nodes if conf else [],
        priorities=conf.priorities if conf else {},
        transport=conf.transport if conf else KNET,
        totem=conf.totem if conf else {},
        device=conf.device if conf else None,
        quorate=quorum is not None and quorum.quorate,
        quorum=quorum,
        links=parse_links(links),
        edited="\n#edited" in text,
    )


def _resolver(text: str) -> Callable[[str], list[str]]:
    rows = [line.split() for line in text.splitlines() if line.startswith("#resolved ")]
    known = {row[1]: row[2:] for row in rows if len(row) > 1}
    return lambda name: known.get(name, [])
