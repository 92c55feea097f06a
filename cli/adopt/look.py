"""The look at a live cluster: one node whose SSH host key somebody confirmed, and over it the keys of the others. Nothing is changed.

No password is sent: all is read over SSH. The API's certificate is only compared with those that the members hold.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.adopt.found import Found, whole
from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.reports import read
from cluster.transport import certificates, endpoint, members, shipped, ssh
from onnode.contract.inventory import Inventory
from onnode.errors import StepError

if TYPE_CHECKING:
    from cluster.transport.certificates import Held
    from cluster.transport.ssh import Connection

LOOK_S = 60.0


async def look(url: str, confirmed: str, key: str) -> Found:
    """Look at the cluster.

    Args:
        url: of one member's API.
        confirmed: the fingerprint of its SSH host key, as somebody read it on its console; empty: nobody has.
        key: the SSH private key (PEM).

    Raises:
        AdminError: adopt-unconfirmed, adopt-no-cluster, adopt-no-quorum, adopt-node-missing, adopt-key-missing,
            host-unreachable, ssh-auth-failed, api-unreachable, api-certificate.
    """
    host = urlsplit(url).hostname or ""
    first = Machine(host, host, trusted(host, await ssh.presented(host), confirmed))
    async with ssh.connect(first, key) as connection:
        asked, held = await _ask(connection)
    others = machines(asked)
    async with members.connections(others, key) as opened:
        answers = await members.ask(opened, _ask)
    for answer in answers.values():
        if isinstance(answer, StepError):
            raise answer
    said = {**members.answered(answers), asked.node: (asked, held)}
    await endpoint.who(url, {name: one for name, (_, one) in said.items()})
    keys = {asked.node: first.host_key, **{one.name: one.host_key for one in others}}
    return Found(url, asked.node, {name: one for name, (one, _) in said.items()}, keys)


def trusted(host: str, presented: str | None, confirmed: str) -> str:
    """The host key that a machine presents, if somebody confirmed it; pure.

    Raises:
        AdminError: host-unreachable, adopt-unconfirmed.
    """
    if presented is None:
        raise AdminError(
            "host-unreachable",
            f"{host} cannot be reached over SSH",
            observed=f"no SSH server answers at {host}, port {ssh.PORT}",
            expected="the SSH server of a member of the cluster",
        )
    shown = ssh.fingerprint_of(presented)
    if shown.removeprefix("SHA256:") != confirmed.strip().removeprefix("SHA256:"):
        raise AdminError(
            "adopt-unconfirmed",
            f"whether the machine that answers at {host} is yours is not known",
            observed=f"its SSH host key ({presented.split()[0]}) has the fingerprint {shown}",
            expected=f"FINGERPRINT={confirmed}" if confirmed else "FINGERPRINT= with the one that its console shows",
        )
    return presented


def machines(first: Inventory) -> list[Machine]:
    """The other members as that one knows them; pure.

    Raises:
        AdminError: adopt-no-cluster, adopt-no-quorum, adopt-node-missing, adopt-key-missing.
    """
    return [
        Machine(node.name, first.addresses[node.name], first.host_keys[node.name])
        for node in whole(first).nodes
        if node.name != first.node
    ]


async def _ask(connection: Connection) -> tuple[Inventory, Held]:
    done, held = await asyncio.gather(
        shipped.run(connection, "inventory", None, timeout_s=LOOK_S), certificates.all_held(connection)
    )
    return read(Inventory, connection.machine.name, done.facts), held
