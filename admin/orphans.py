"""VMs on the outer hosts that carry this stack's tag, and that the recorded state does not know.

Making them again would fail or duplicate them, and destroying them is nobody's wish: the exact import is named.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from admin import members
from admin.desired import Machine
from admin.errors import AdminError
from admin.guests import split_tags
from components.config.model import NestedNode
from onnode.pve import TAG, stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def unrecorded_nodes(description: Description, state: dict[str, Any] | None) -> list[NestedNode]:
    """The nested nodes whose VM the state does not record; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    recorded = {
        int(entry["inputs"]["vmId"]) for entry in resources if entry["type"] == VM_TYPE and "vmId" in entry["inputs"]
    }
    nested = [node for node in description.config.nodes if isinstance(node, NestedNode)]
    return [node for node in nested if node.vmid not in recorded]


async def refuse_unrecorded(description: Description, state: dict[str, Any] | None) -> None:
    """Refuse when a VM that is about to be made is there already, made by this stack.

    Raises:
        AdminError: vm-not-recorded, with the command that records it; and those of SSH to the outer hosts.
    """
    nodes = unrecorded_nodes(description, state)
    if not nodes:
        return
    concerned = {node.host for node in nodes}
    machines = [
        Machine(host.name, str(host.address), host.host_key or description.credentials.host_key_of(host.name) or "")
        for host in description.config.outer_hosts
        if host.name in concerned
    ]
    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=CONNECT_S) as opened:
        lists = members.all_answered(await members.ask(opened, _list))
    _refuse(orphans(nodes, [vm for vms in lists.values() for vm in vms], description.stack), description.stack, state)


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


def orphans(nodes: Iterable[NestedNode], vms: Iterable[Vm], stack: str) -> list[tuple[NestedNode, Vm]]:
    """The VMs of unrecorded nodes that this stack made; pure. Foreign ones are refused by the host's own step."""
    by_place = {(vm.host, vm.vmid): vm for vm in vms if {TAG, stack_tag(stack)} <= vm.tags}
    return [(node, by_place[node.host, node.vmid]) for node in nodes if (node.host, node.vmid) in by_place]


def _refuse(found: list[tuple[NestedNode, Vm]], stack: str, state: dict[str, Any] | None) -> None:
    if found:
        raise AdminError(
            "vm-not-recorded",
            "VMs of this stack exist that its state does not know",
            observed=", ".join(f"VM {vm.vmid} ({vm.name}) on {vm.host}" for _, vm in found),
            expected="every VM of this stack is in its state",
            fix="; ".join(import_command(node, stack, state) for node, _ in found)
            + "; or destroy the VMs on the host if nothing in them is needed",
        )


def import_command(node: NestedNode, stack: str, state: dict[str, Any] | None) -> str:
    """The command that records a node's VM, with the parent and the provider that the program gives it; pure."""
    resources = (state or {}).get("deployment", {}).get("resources") or []
    parent = _urn(resources, "nested-pve-ha:index:NestedPveNode", node.name)
    provider = _urn(resources, "pulumi:providers:proxmoxve", f"{node.host}-api")
    words = ["pulumi", "import", VM_TYPE, f"{node.name}-vm", f"{node.host}/{node.vmid}", "--stack", stack]
    words += ["--parent", f"node={parent}"] if parent else []
    words += ["--provider", f"api={provider}"] if provider else []
    return shlex.join([*words, "--protect=false", "--generate-code=false", "--yes"])


def _urn(resources: list[dict[str, Any]], kind: str, name: str) -> str | None:
    return next(
        (entry["urn"] for entry in resources if entry["type"] == kind and entry["urn"].endswith(f"::{name}")), None
    )
