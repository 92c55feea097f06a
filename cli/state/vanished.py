"""Recorded VMs that are gone from their outer host, because somebody destroyed them by hand.

The engine would make the VM again, and believe that all is still done inside. So what was done inside is forgotten with the VM,
and is done again. A member is more than its VM: its entry in the cluster is released before, by the identity step, which is
marked so that it runs. Without quorum nobody could release it, and the run is refused.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from cli.state.belongings import CLUSTER
from cli.state.outer_vms import nested_nodes, recorded
from cluster import marks
from cluster.errors import AdminError
from components.recorded import REMOVE_BRIDGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cli.description import Description
    from cluster.marks import Look
    from config.model import NestedNode

State = dict[str, Any]

CREATION, JOIN, IDENTITY = "cluster-create", "cluster-join-", "design-identity"  # names of resources
CHANGE, QDEVICE = "cluster-change", "cluster-qdevice"
# The program never gives an `update`: the engine sees a difference, and runs the step. Marks of what drifted begin otherwise.
LOST = "lost: "


def vanished_nodes(
    description: Description, state: State, looks: Mapping[str, Sequence[Look]]
) -> list[tuple[NestedNode, str]]:
    """The nodes whose recorded VM is not on its host, each with the URN of that VM; pure.

    Only hosts that were looked at count, and only nodes that are still described on the host of the record.
    """
    things = [(host, thing) for host, found in looks.items() for look in found for thing in look.things]
    there = {(host, int(thing.name)) for host, thing in things if thing.kind == marks.VM}
    known = {(vm.host, vm.vmid): vm.urn for vm in recorded(state).values()}
    places = [(node, (node.host, node.vmid)) for node in nested_nodes(description)]
    return [
        (node, known[place]) for node, place in places if place in known and place not in there and place[0] in looks
    ]


def with_disk(nodes: Sequence[NestedNode], looks: Mapping[str, Sequence[Look]]) -> list[NestedNode]:
    """Those of these nodes whose disk is still on their host: their VM was only undefined, and they go on as they were. Pure."""
    disks = {
        (host, int(thing.name))
        for host, found in looks.items()
        for look in found
        for thing in look.things
        if thing.kind == marks.DISK
    }
    return [node for node in nodes if (node.host, node.vmid) in disks]


def is_member(state: State, node: NestedNode) -> bool:
    """Whether a node is recorded as a member of the cluster; pure."""
    return any(_is_membership(resource, {node.name}) for resource in state["deployment"].get("resources") or [])


def _is_membership(resource: State, names: Collection[str]) -> bool:
    """Whether a resource is the step by which one of these nodes joined, or created the cluster."""
    name = resource["urn"].rsplit("::", 1)[1]
    if name == CREATION:
        return json.loads((resource.get("inputs") or {}).get("stdin") or "{}").get("seed") in names
    return name in {f"{JOIN}{node}" for node in names}


def refuse_members(
    description: Description, state: State, nodes: Sequence[NestedNode], looks: Mapping[str, Sequence[Look]]
) -> None:
    """Refuse if a node without its VM was a member, and no quorate member is left to release its entry; pure.

    Raises:
        AdminError: member-vm-missing.
    """
    lost = [node for node in nodes if is_member(state, node)]
    cluster = description.config.cluster.name
    if lost and not any(look.quorate and look.cluster == cluster for look in looks.get(CLUSTER, ())):
        names = ", ".join(node.name for node in lost)
        raise AdminError(
            "member-vm-missing",
            "the VM of a cluster member is gone, and the cluster is not quorate without it",
            observed=", ".join(f"no VM {node.vmid} ({node.name}) on {node.host}" for node in lost),
            expected="a quorate member that can release the entry of the lost one",
            fix=(
                f"start the other members; if {names} cannot come back, and the others have no quorum: on one of them "
                f"`pvecm expected 1`, then `pvecm delnode NAME` for each of {names}; then run the same command again"
            ),
        )


def released(state: State, nodes: Collection[str]) -> State:
    """The state in which these nodes are to join anew, and the cluster is to let go of their old entries first; pure.

    Args:
        state: what is recorded.
        nodes: the names of nodes whose VM is gone.
    """
    resources = state["deployment"].get("resources") or []
    joins = [one["urn"] for one in resources if one["urn"].rsplit("::", 1)[1] in {f"{JOIN}{name}" for name in nodes}]
    changed = forget(state, joins)
    names = {one["urn"].rsplit("::", 1)[1] for one in resources}
    # A QDevice is removed before a node joins, and set up again after.
    again = {IDENTITY, *((CHANGE, QDEVICE) if QDEVICE in names else ())}
    for resource in changed["deployment"]["resources"]:
        if resource["urn"].rsplit("::", 1)[1] in again:
            for part in ("inputs", "outputs"):
                if isinstance(resource.get(part), dict):
                    resource[part]["update"] = f"{LOST}{', '.join(sorted(nodes))}"
    return changed


def forget(state: State, urns: Iterable[str]) -> State:
    """The state without these resources, their guards, and all that is deleted with them; pure."""
    kept = copy.deepcopy(state)
    gone = set(urns)
    resources = kept["deployment"]["resources"]
    gone |= {resource["urn"] for resource in resources if _guards(resource) and gone & set(resource["dependencies"])}
    gone |= _removals(resources, gone)
    gone |= {resource["urn"] for resource in resources if resource.get("deletedWith") in gone}
    kept["deployment"]["resources"] = [
        _without(resource, gone) for resource in resources if resource["urn"] not in gone
    ]
    return kept


def _removals(resources: Iterable[State], gone: set[str]) -> set[str]:
    """The steps that would remove forgotten bridges."""
    ends = {
        resource["deletedWith"] for resource in resources if resource["urn"] in gone and resource.get("deletedWith")
    }
    steps = {one["urn"] for one in resources if (one.get("inputs") or {}).get("delete") == REMOVE_BRIDGE}
    return ends & steps


def _guards(resource: State) -> bool:
    step = str((resource.get("inputs") or {}).get("delete", ""))
    return step.endswith(" delete-guard --delete") and bool(resource.get("dependencies"))


def forget_replaced(state: State, urns: Iterable[str]) -> State:
    """The state without the replaced resources of these URNs, which were to be deleted; their replacements stay. Pure."""
    kept, gone = copy.deepcopy(state), set(urns)
    resources = kept["deployment"]["resources"]
    kept["deployment"]["resources"] = [one for one in resources if not (one.get("delete") and one["urn"] in gone)]
    return kept


def _without(resource: State, gone: set[str]) -> State:
    """A resource without dependencies on what is gone; the engine reads dependencies again with each run."""
    found = dict(resource)
    if "dependencies" in found:
        found["dependencies"] = [urn for urn in found["dependencies"] or [] if urn not in gone]
    if "propertyDependencies" in found:
        by_property = found["propertyDependencies"] or {}
        found["propertyDependencies"] = {
            name: [urn for urn in urns or [] if urn not in gone] for name, urns in by_property.items()
        }
    return found
