"""VMs of nodes that somebody migrated to another outer host, and that the stack file describes there now. Pure.

The engine would see another provider for such a VM, and replace it: install the node again, and destroy the existing one. So the
record follows the VM. If the VM is not on the described host, the run is refused.
"""

from __future__ import annotations

import copy
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from cli.state import vanished
from cli.state.outer_vms import domains, nested_nodes
from cluster import marks
from cluster.errors import AdminError
from components.recorded import PROVIDER_TYPE, VM_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cli.description import Description
    from cluster.marks import Look, Thing
    from config.model import NestedNode

State = dict[str, Any]


def follow(description: Description, state: State, looks: Mapping[str, Sequence[Look]]) -> tuple[State, list[str]]:
    """The state in which each VM is recorded on the outer host where it is, and what has moved, in words.

    Args:
        description: what is wanted.
        state: what is recorded.
        looks: by outer host, what it shows.

    Raises:
        AdminError: vm-moved, if a member's VM is not where it is described now, or a VM is on a host with libvirt: it does not move.
    """
    _refuse_domains(description, state)
    followed, moved = copy.deepcopy(state), []
    for node, entry in _elsewhere(description, followed):
        there = next((thing for thing in _things(looks, node) if thing.ours), None)
        provider = _provider(followed, node.host)
        if there is not None and provider is not None:
            moved.append(f"{entry['urn'].rpartition('::')[2]}: from {_host(entry)} to {node.host}")
            entry["provider"] = provider
            for values in (entry.get("inputs"), entry.get("outputs")):
                if values:
                    values["nodeName"] = node.host
        elif there is not None or vanished.is_member(state, node):
            raise _refused(node, entry, there, looks)
    if moved:
        followed["deployment"]["resources"] = in_order(followed["deployment"]["resources"])
    return (followed, moved) if moved else (state, [])


def _refuse_domains(description: Description, state: State) -> None:
    """The step that makes a VM would make another one there; the first one would run on, unknown, and answer in its stead."""
    hosts = domains(state)
    for node in nested_nodes(description):
        before = hosts.get(f"{node.name}-vm", node.host)
        if before != node.host:
            raise AdminError(
                "vm-moved",
                f"{node.name} is described on another outer host than it was made on",
                observed=f"recorded on {before}, described on {node.host}",
                expected=f"host {before}: a VM of libvirt is not moved to another host",
                fix=(
                    f"set host of {node.name} back to {before}; to have the node on {node.host}, leave it out of the stack file, "
                    "`make up`, then put it back with the other host"
                ),
            )


def _elsewhere(description: Description, state: State) -> Iterator[tuple[NestedNode, State]]:
    """The nodes whose VM is recorded on another host than described."""
    resources = state.get("deployment", {}).get("resources") or []
    vms = {one["urn"].rpartition("::")[2]: one for one in resources if one["type"] == VM_TYPE and not one.get("delete")}
    for node in nested_nodes(description):
        entry = vms.get(f"{node.name}-vm")
        if entry is not None and entry.get("provider") and _host(entry) != node.host:
            yield node, entry


def _host(entry: State) -> str:
    """The outer host behind the provider of a resource, from the reference `URN::ID`."""
    return str(entry["provider"]).rpartition("::")[0].rpartition("::")[2].removesuffix("-api")


def _provider(state: State, host: str) -> str | None:
    """The reference to the provider of an outer host; None while nothing of that host is recorded."""
    resources = state["deployment"]["resources"]
    found = (one for one in resources if one["type"] == PROVIDER_TYPE and one["urn"].endswith(f"::{host}-api"))
    return next((f"{one['urn']}::{one['id']}" for one in found if not one.get("delete")), None)


def _things(looks: Mapping[str, Sequence[Look]], node: NestedNode) -> Iterator[Thing]:
    """The VM of that number on the described host itself; a host also shows the VMs of other nodes of its cluster."""
    for found in looks.get(node.host, ()):
        yield from (
            one for one in found.things if (one.kind, one.name, one.node) == (marks.VM, str(node.vmid), found.node)
        )


def _refused(node: NestedNode, entry: State, there: Thing | None, looks: Mapping[str, Sequence[Look]]) -> AdminError:
    before = _host(entry)
    vms = (thing for found in looks.values() for look in found for thing in look.things if thing.kind == marks.VM)
    seen = there or next((thing for thing in vms if thing.ours and thing.name == str(node.vmid)), None)
    back = f"set host of {node.name} back to {before}"
    if there is not None:
        fix = (
            f"on {node.host}: `qm migrate {node.vmid} {before} --online`; {back}; "
            f"`make up` with outer host {node.host} described; then migrate it again, and change host"
        )
    else:
        fix = f"{back}; or `qm migrate {node.vmid} {node.host} --online` on {before}, and run the same command again"
    return AdminError(
        "vm-moved",
        f"{node.name} is described on another outer host than it was made on",
        observed=f"recorded on {before}; {seen.shown if seen else f'no VM {node.vmid} of this stack was found'}",
        expected=f"VM {node.vmid} on {node.host}, and that host recorded; a member is not installed again to move it",
        fix=fix,
    )


def in_order(resources: Sequence[State]) -> list[State]:
    """The resources, each after what it needs; the engine refuses any other order."""
    at = {one["urn"]: place for place, one in enumerate(resources) if not one.get("delete")}
    needs = {place: {at.get(urn, place) for urn in _needs(one)} - {place} for place, one in enumerate(resources)}
    return [resources[place] for place in TopologicalSorter(needs).static_order()]


def _needs(entry: State) -> Iterator[str]:
    yield from filter(None, (entry.get("parent"), entry.get("deletedWith")))
    yield str(entry.get("provider") or "").rpartition("::")[0]
    yield from entry.get("dependencies") or []
    for urns in (entry.get("propertyDependencies") or {}).values():
        yield from urns or []
