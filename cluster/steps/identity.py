"""identity: nothing changes that a live cluster cannot change. Asked before any node is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import formation
from cluster.transport import members
from onnode.cluster.corosync import KNET, ConfNode, parse_conf, resolved
from onnode.contract import Membership
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.call import Call
    from cluster.contract import Identity
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
"""


async def bring_about(desired: Identity, call: Call) -> Outcome:
    """Compare with every node that answers, and with what was described in the run before.

    Raises:
        AdminError: identity-changed, member-removed, other-cluster, corosync-transport, member-differs, member-unknown, host-key-mismatch.
    """
    now = formation.ClusterIdentity(
        desired.cluster, desired.seed, {member.name: formation.described(member) for member in desired.members}
    )
    async with members.connections(desired.members, call.secrets.ssh_private_key, timeout_s=CONNECT_S) as opened:
        answers = await members.ask(opened, _look)
    for answer in answers.values():
        if isinstance(answer, StepError) and answer.code != "host-unreachable":
            raise answer
    seen = members.answered(answers)
    if call.previous is not None:
        there = formation.live(seen.values(), [name for name in answers if name not in seen])
        formation.refuse_renamed(_recorded(call.previous), now, there)
    formation.refuse_other_cluster(desired.cluster, seen.values())
    formation.refuse_other_transport(seen.values())
    for look in seen.values():
        formation.refuse_changed_identity(look.nodes, desired.members)
        if look.cluster is not None:
            formation.refuse_other_priorities(look.priorities, desired.members)
    return Outcome(changed=False, facts=_facts(now))


async def _look(connection: Connection) -> Membership:
    """Straight from the files: an `existing` node may not have the on-node package yet."""
    done = await connection.run(_READ, timeout_s=LOOK_S)
    named, _, text = done.stdout.partition("\n")
    conf = resolved(parse_conf(text), _resolver(text))
    return Membership(
        named.partition(".")[0],  # as Proxmox VE names a node: the domain is no part of it
        "absent" if conf is None else "member",
        cluster=conf.cluster if conf else None,
        config_version=conf.version if conf else None,
        nodes=conf.nodes if conf else [],
        priorities=conf.priorities if conf else {},
        transport=conf.transport if conf else KNET,
    )


def _resolver(text: str) -> Callable[[str], list[str]]:
    rows = [line.split() for line in text.splitlines() if line.startswith("#resolved ")]
    known = {row[1]: row[2:] for row in rows if len(row) > 1}
    return lambda name: known.get(name, [])


def _facts(identity: formation.ClusterIdentity) -> dict[str, Any]:
    listed = {
        name: {"node_id": node.id, "votes": node.votes, "links": {str(n): address for n, address in node.links.items()}}
        for name, node in identity.members.items()
    }
    return {"cluster": identity.cluster, "seed": identity.seed, "members": listed}


def _recorded(facts: dict[str, Any]) -> formation.ClusterIdentity:
    listed = {
        name: ConfNode(name, node["node_id"], node["votes"], {int(n): address for n, address in node["links"].items()})
        for name, node in facts["members"].items()
    }
    return formation.ClusterIdentity(facts["cluster"], facts["seed"], listed)
