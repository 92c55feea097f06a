"""Looking at all machines for what is there, before the engine is let go: outer hosts first, then the cluster."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from admin import marks, members
from admin.belongings import CLUSTER
from admin.desired import Machine
from admin.errors import AdminError
from components.config.model import ExistingNode, NestedNode
from components.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from admin.description import Description
    from admin.marks import Look

CONNECT_S = 5.0


def look(description: Description, *, all_hosts: bool = True) -> dict[str, list[Look]]:
    """What the machines show, by place: each outer host by its name, and the cluster.

    Args:
        description: which machines there are.
        all_hosts: an outer host that does not answer is an error.

    Raises:
        StepError: why an outer host did not answer.
    """
    return asyncio.run(_look(description, all_hosts=all_hosts))


async def _look(description: Description, *, all_hosts: bool) -> dict[str, list[Look]]:
    found = await hosts(description, all_hosts=all_hosts)
    site = Site(description.config, description.credentials, description.stack)
    wanted = {node.name for node in description.config.nodes if is_there(node, found)}
    looks = await cluster(description, [member for member in site.members if member.name in wanted])
    return found | ({CLUSTER: looks} if looks else {})


async def hosts(description: Description, *, all_hosts: bool) -> dict[str, list[Look]]:
    """Ask all outer hosts at once."""
    machines = outer_machines(description)
    images = {host.name: host.iso_directory for host in description.config.outer_hosts}
    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=CONNECT_S) as opened:
        answers = await members.ask(
            opened, lambda connection: marks.look(connection, description.stack, images[connection.machine.name])
        )
    looks = members.all_answered(answers) if all_hosts else members.answered(answers)
    if all_hosts:
        refuse_silent(looks)
    return {name: [answer] for name, answer in looks.items() if answer.quorate}


def refuse_silent(looks: Mapping[str, Look]) -> None:
    """Refuse a host that cannot tell what is there: its VMs would be taken for gone. Pure.

    Raises:
        AdminError: command-failed.
    """
    silent = [name for name, seen in looks.items() if not seen.quorate]
    if silent:
        raise AdminError(
            "command-failed",
            "an outer host cannot tell which guests it has",
            observed=f"/etc/pve of {', '.join(silent)} is not mounted, or its cluster has no quorum",
            expected="a mounted /etc/pve, with quorum where the host is in a cluster",
            fix="`systemctl status pve-cluster` and `pvecm status` there; then run the same command again",
        )


def outer_machines(description: Description) -> list[Machine]:
    """The outer hosts as SSH reaches them."""
    keys = description.credentials
    return [
        Machine(host.name, str(host.address), host.host_key or keys.host_key_of(host.name) or "")
        for host in description.config.outer_hosts
    ]


def is_there(node: NestedNode | ExistingNode, found: Mapping[str, Sequence[Look]]) -> bool:
    """Whether a machine can be asked; a nested node without VM is not waited for. Pure."""
    if isinstance(node, ExistingNode):
        return True
    vm = (marks.VM, str(node.vmid))
    return any(
        (thing.kind, thing.name) == vm and thing.ours for seen in found.get(node.host, ()) for thing in seen.things
    )


async def cluster(description: Description, machines: Sequence[Machine]) -> list[Look]:
    """What those say that may speak for the cluster; a node that does not answer, or not yet, is the run's affair."""
    if not machines:
        return []
    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=CONNECT_S) as opened:
        answers = members.answered(await members.ask(opened, partial(marks.look, stack=description.stack)))
    own = ("", description.config.cluster.name)  # a member of another cluster is refused by its own step
    return [answer for answer in answers.values() if answer.quorate and answer.cluster in own]
