"""A member that was off while another node joined gets the cluster's corosync.conf, which it cannot fetch by itself.

It comes back with its old file, and does not know the node that joined. Each of the two then waits for a membership without the
other, and no membership of any node lasts (corosync 3.1), so pmxcfs never brings the newer file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.call import note
from cluster.reports import read
from cluster.transport import members, shipped
from onnode.cluster.corosync import parse_conf
from onnode.cluster.corosync_files import LOADED
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


@dataclass(frozen=True)
class Late:
    """The nodes that get a corosync.conf.

    Attributes:
        names: theirs.
        newest: the node of the quorum that has it.
        text: that file.
    """

    names: list[str]
    newest: str
    text: str


def behind(cluster: str, seen: Mapping[str, Membership]) -> tuple[str, list[str]] | None:
    """Who has the configuration that counts, and who has no vote with an older one, both by their names in `seen`; pure.

    Only a quorum says which configuration counts, and only about nodes that it lists; two quorums say nothing.

    Args:
        cluster: its name.
        seen: what each node reports that answers, by name.
    """
    inside = {name: look for name, look in seen.items() if look.state == "member" and look.cluster == cluster}
    newest = _newest(inside)
    if newest is None:
        return None
    counts = inside[newest]
    # Two sides that both have a quorum: a person decides which one counts.
    if any(look.voters != counts.voters for look in inside.values() if look.works):
        return None
    names = [
        name
        for name, look in inside.items()
        if not look.quorate
        and counts.listed(look.node) is not None
        and look.config_version is not None  # one that was broken by hand is `make repair`'s
        and look.config_version < (counts.config_version or 0)
    ]
    return (newest, sorted(names)) if names else None


def without_vote(cluster: str, seen: Mapping[str, Membership], answering: Collection[str]) -> bool:
    """Whether a node answers that the cluster lists and that has no vote in it; pure.

    Args:
        cluster: its name.
        seen: what each node reports that answers, by name. One that could not say it in time is missing.
        answering: the names of all nodes that let one log in.
    """
    newest = _newest({name: look for name, look in seen.items() if look.cluster == cluster})
    if newest is None:
        return False
    counts = seen[newest]
    return any(node.name in answering and node.id not in counts.voters for node in counts.nodes)


def _newest(inside: Mapping[str, Membership]) -> str | None:
    works = [name for name, look in inside.items() if look.works]
    return max(works, key=lambda name: inside[name].config_version or 0, default=None)


async def late(cluster: str, opened: Opened, answers: Mapping[str, MembershipReport | StepError]) -> Late | None:
    """Who gets that configuration, by the files of these nodes; None if nobody does.

    A node with another key of corosync is no member of this cluster, whatever it is called: it is left alone. So is one whose own file
    is as new and another one: somebody edited it there. One whose corosync runs with the configuration lacks something else.

    Args:
        cluster: its name.
        opened: connections to nodes of it.
        answers: what each of them said a moment ago, or why it said nothing.

    Raises:
        StepError: those of the step `corosync-files`.
    """
    found = behind(cluster, members.answered(answers))
    if found is None:
        return None
    newest, names = found
    kept = members.all_answered(await members.ask({name: opened[name] for name in (newest, *names)}, _kept, waiting=""))
    text = _text(kept[newest], PVE_CONF)
    lacking = [name for name in names if _lacks(kept[name], text, kept[newest].authkey)]
    return Late(lacking, newest, text) if lacking else None


async def catch_up(
    cluster: str, opened: Opened, answers: Mapping[str, MembershipReport | StepError], timeout_s: float
) -> bool:
    """Give it to them, and wait until they have quorum with it; returns whether that changed anything.

    Args:
        cluster: as of :func:`late`.
        opened: as well.
        answers: as well.
        timeout_s: for the quorum.

    Raises:
        StepError: as :func:`late`, and those of the steps `restore-corosync` and `start-services`, after all nodes were tried.
    """
    found = await late(cluster, opened, answers)
    if found is None:
        return False
    for name in found.names:
        note(f"{name} was off when the cluster changed: it gets the corosync.conf of {found.newest}")

    async def bring(connection: Connection) -> bool:
        return await _bring(connection, found.text, timeout_s)

    brought = await members.ask({name: opened[name] for name in found.names}, bring, waiting="")
    return any(members.all_answered(brought).values())


def _lacks(kept: KeptConfs, given: str, authkey: str) -> bool:
    """Whether a node of that key has an older file, which nobody edited there, or has that file and runs without it."""
    wanted = parse_conf(given)
    if wanted is None or kept.authkey == fingerprint(None) or kept.authkey != authkey:
        return False
    local, shared = _text(kept, LOCAL_CONF), _text(kept, PVE_CONF)
    if local == given:
        loaded = parse_conf(_text(kept, LOADED))
        return loaded is None or loaded.version != wanted.version
    own = parse_conf(local)
    is_unedited = shared in ("", local)  # /etc/pve may hang on such a node, and is not read then
    return is_unedited and own is not None and own.version < wanted.version


def _text(kept: KeptConfs, place: str) -> str:
    return next((file.text for file in kept.files if file.place == place), "")


async def _kept(connection: Connection) -> KeptConfs:
    done = await shipped.run(connection, "corosync-files", None, timeout_s=LOOK_S)
    return read(KeptConfs, connection.machine.name, done.facts)


async def _bring(connection: Connection, text: str, timeout_s: float) -> bool:
    file = await shipped.run(connection, "restore-corosync", CorosyncFile(text), timeout_s=MARGIN_S, quiet=False)
    wanted = StartServices(quorate=True, timeout_s=int(timeout_s))
    services = await shipped.run(connection, "start-services", wanted, timeout_s=timeout_s + MARGIN_S, quiet=False)
    return file.changed or services.changed
