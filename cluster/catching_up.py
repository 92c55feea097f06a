"""A member that was off while another node joined gets the cluster's corosync.conf, which it cannot fetch by itself.

It comes back with its old file, and does not know the node that joined. Each of the two then waits for a membership without the
other, and no membership of any node lasts (corosync 3.1), so pmxcfs never brings the newer file.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cluster.call import note
from cluster.reports import read
from cluster.transport import members, shipped
from onnode.cluster.corosync import parse_conf
from onnode.cluster.membership import LOCAL_CONF, PVE_CONF
from onnode.contract.repair import CorosyncFile, KeptConfs, StartServices
from onnode.system.originals import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cluster.transport.members import Opened
    from cluster.transport.ssh import Connection
    from onnode.contract.membership import Membership, MembershipReport
    from onnode.errors import StepError

LOOK_S = 60.0
MARGIN_S = 420.0  # the services' own times, beyond the time for the quorum


def behind(cluster: str, seen: Mapping[str, Membership]) -> tuple[str, list[str]] | None:
    """Who has the configuration that counts, and who has no vote with an older one; pure.

    Only a quorum says which configuration counts, and only about nodes that it lists; two quorums say nothing.

    Args:
        cluster: its name.
        seen: what each node reports that answers, by name.
    """
    inside = {name: look for name, look in seen.items() if look.state == "member" and look.cluster == cluster}
    newest = _newest(inside)
    # Two sides that both have a quorum: a person decides which one counts.
    if newest is None or any(look.voters != newest.voters for look in inside.values() if look.works):
        return None
    late = [
        name
        for name, look in inside.items()
        if not look.quorate
        and newest.listed(name) is not None
        and look.config_version is not None  # one that was broken by hand is `make repair`'s
        and look.config_version < (newest.config_version or 0)
    ]
    return (newest.node, sorted(late)) if late else None


def without_vote(cluster: str, seen: Mapping[str, Membership], answering: Collection[str]) -> bool:
    """Whether a node answers that the cluster lists and that has no vote in it; pure.

    Args:
        cluster: its name.
        seen: what each node reports that answers, by name. One that could not say it in time is missing.
        answering: the names of all nodes that let one log in.
    """
    newest = _newest({name: look for name, look in seen.items() if look.cluster == cluster})
    return newest is not None and any(node.name in answering and node.id not in newest.voters for node in newest.nodes)


def _newest(members_of_it: Mapping[str, Membership]) -> Membership | None:
    works = [look for look in members_of_it.values() if look.works]
    return max(works, key=lambda look: look.config_version or 0) if works else None


async def catch_up(
    cluster: str, opened: Opened, answers: Mapping[str, MembershipReport | StepError], timeout_s: float
) -> bool:
    """Give them that configuration, and wait until they have quorum with it; returns whether there was one.

    A node with another key of corosync is no member of this cluster, whatever it is called: it is left alone. So is one whose own file
    is as new and another one: somebody edited it there.

    Args:
        cluster: its name.
        opened: connections to nodes of it.
        answers: what each of them said a moment ago, or why it said nothing.
        timeout_s: for the quorum.

    Raises:
        StepError: those of the steps `corosync-files`, `restore-corosync` and `start-services`.
    """
    found = behind(cluster, members.answered(answers))
    if found is None:
        return False
    newest, late = found
    kept = members.all_answered(await members.ask({name: opened[name] for name in [newest, *late]}, _kept, waiting=""))
    given = _text(kept[newest], PVE_CONF)
    ours = [name for name in late if _is_older(kept[name], given, kept[newest].authkey)]
    if not ours:
        return False
    for name in ours:
        note(f"{name} was off when the cluster changed: it gets the corosync.conf of {newest}")
    await asyncio.gather(*(_bring(members.connected(opened, name), given, timeout_s) for name in ours))
    return True


def _is_older(kept: KeptConfs, given: str, authkey: str) -> bool:
    """Whether a node of that key has that file, or an older one, which nobody edited there."""
    wanted, own = parse_conf(given), parse_conf(_text(kept, LOCAL_CONF))
    if wanted is None or kept.authkey == fingerprint(None) or kept.authkey != authkey:
        return False
    local, shared = _text(kept, LOCAL_CONF), _text(kept, PVE_CONF)
    is_unedited = shared in ("", local)  # /etc/pve may hang on such a node, and is not read then
    return local == given or (is_unedited and own is not None and own.version < wanted.version)


def _text(kept: KeptConfs, place: str) -> str:
    return next((file.text for file in kept.files if file.place == place), "")


async def _kept(connection: Connection) -> KeptConfs:
    done = await shipped.run(connection, "corosync-files", None, timeout_s=LOOK_S)
    return read(KeptConfs, connection.machine.name, done.facts)


async def _bring(connection: Connection, text: str, timeout_s: float) -> None:
    await shipped.run(connection, "restore-corosync", CorosyncFile(text), timeout_s=MARGIN_S, quiet=False)
    wanted = StartServices(quorate=True, timeout_s=int(timeout_s))
    await shipped.run(connection, "start-services", wanted, timeout_s=timeout_s + MARGIN_S, quiet=False)
