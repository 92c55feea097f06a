"""The VMs on the outer hosts, as the hosts list them; what the state records is compared with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from admin import members
from admin.desired import Machine
from admin.errors import AdminError
from components.config.model import NestedNode
from onnode.pve import split_tags

if TYPE_CHECKING:
    from admin.description import Description
    from admin.ssh import Connection

VM_TYPE = "proxmoxve:index/vmLegacy:VmLegacy"
LOOK_S = 60.0
CONNECT_S = 5.0
_LIST = "pvesh get /nodes/$(hostname)/qemu --output-format json"


@dataclass(frozen=True)
class Vm:
    """A VM on an outer host."""

    host: str
    vmid: int
    name: str
    tags: frozenset[str]


def nested_nodes(description: Description) -> list[NestedNode]:
    """The nodes that are VMs."""
    return [node for node in description.config.nodes if isinstance(node, NestedNode)]


def recorded(state: dict[str, Any] | None) -> dict[int, dict[str, Any]]:
    """The VMs that the engine has recorded as made on a host, by vmid, as the exported state has them; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    vms = [entry for entry in resources if entry["type"] == VM_TYPE and "vmId" in entry["inputs"]]
    return {int(entry["inputs"]["vmId"]): entry for entry in vms}


async def listed(description: Description) -> list[Vm]:
    """Ask all outer hosts at once.

    Raises:
        AdminError: command-failed, and those of SSH.
    """
    machines = [
        Machine(host.name, str(host.address), host.host_key or description.credentials.host_key_of(host.name) or "")
        for host in description.config.outer_hosts
    ]
    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=CONNECT_S) as opened:
        answers = members.all_answered(await members.ask(opened, _list))
    return [vm for vms in answers.values() for vm in vms]


async def _list(connection: Connection) -> list[Vm]:
    done = await connection.run(_LIST, timeout_s=LOOK_S)
    if done.exit_code != 0:
        raise AdminError(
            "command-failed",
            f"the VMs of {connection.machine.name} cannot be listed",
            observed=done.stderr.strip() or f"exit {done.exit_code}",
            expected=f"`{_LIST}` answers",
        )
    return [
        Vm(connection.machine.name, int(entry["vmid"]), entry.get("name", ""), frozenset(split_tags(entry.get("tags"))))
        for entry in json.loads(done.stdout)
    ]
