"""What exists, as outer hosts and the cluster show it before the engine starts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import marks, proxmox_ve
from cluster.contract import Machine
from cluster.transport import members
from config import topology
from config.model import ExistingNode, NestedNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.description import Description
    from cluster.marks import Look
    from cluster.transport.members import Opened

CONNECT_S = 5.0


async def over(opened: Opened, description: Description, *, all_hosts: bool) -> dict[str, list[Look]]:
    """What the outer hosts show, by name, over these connections.

    Args:
        opened: the connections to them.
        description: whose marks count, and where installers are.
        all_hosts: one that does not answer is an error.

    Raises:
        StepError: why an outer host did not answer.
    """
    hosts = description.config.outer_hosts
    images = {host.name: topology.image_directory(host, description.stack) for host in hosts}
    answers = await members.ask(
        opened, lambda connection: proxmox_ve.look(connection, description.stack, images[connection.machine.name])
    )
    looks = members.all_answered(answers) if all_hosts else members.answered(answers)
    if all_hosts:
        proxmox_ve.refuse_silent(looks)
    return {name: [answer] for name, answer in looks.items() if answer.quorate}


def outer_machines(description: Description) -> list[Machine]:
    """The outer hosts as SSH reaches them."""
    keys = description.credentials
    return [
        Machine(host.name, str(host.address), host.host_key or keys.host_key_of(host.name) or "")
        for host in description.config.outer_hosts
    ]


def is_there(node: NestedNode | ExistingNode, found: Mapping[str, Sequence[Look]]) -> bool:
    """Whether a machine exists: a nested node does if its host has its VM. Pure."""
    if isinstance(node, ExistingNode):
        return True
    vm = (marks.VM, str(node.vmid))
    return any(
        (thing.kind, thing.name) == vm and thing.ours for seen in found.get(node.host, ()) for thing in seen.things
    )


async def cluster(opened: Opened, description: Description) -> list[Look]:
    """The looks of the nodes that may speak for the cluster; nodes that do not answer are left to the run."""
    answers = members.answered(await members.ask(opened, partial(proxmox_ve.look, stack=description.stack)))
    own = ("", description.config.cluster.name)  # a member of another cluster is refused by its own step
    return [answer for answer in answers.values() if answer.quorate and answer.cluster in own]
