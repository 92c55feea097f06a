"""Recorded VMs that are gone from their outer host, because somebody destroyed them by hand.

The engine would make the VM again, and believe that all is still done inside. If the node was not a member yet, what was done
inside is forgotten with the VM, and is done again. A member is more than its VM, and is refused.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cli.state.outer_vms import nested_nodes, recorded
from cluster import marks
from cluster.errors import AdminError
from components.recorded import REMOVE_BRIDGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cli.description import Description
    from cluster.marks import Look
    from config.model import NestedNode

State = dict[str, Any]


def vanished_nodes(
    description: Description, state: State, looks: Mapping[str, Sequence[Look]]
) -> list[tuple[NestedNode, str]]:
    """The nodes whose recorded VM is not on its host, each with the URN of that VM; pure.

    Only hosts that were looked at count, and only nodes that are still described on the host of the record.
    """
    things = [(host, thing) for host, found in looks.items() for look in found for thing in look.things]
    there = {(host, int(thing.name)) for host, thing in things if thing.kind == marks.VM}
    known = {(entry["inputs"].get("nodeName"), vmid): entry["urn"] for vmid, entry in recorded(state).items()}
    places = [(node, (node.host, node.vmid)) for node in nested_nodes(description)]
    return [
        (node, known[place]) for node, place in places if place in known and place not in there and place[0] in looks
    ]


def is_member(description: Description, state: State, node: NestedNode) -> bool:
    """Whether a node is recorded as a member of the cluster; pure."""
    names = {resource["urn"].rsplit("::", 1)[1] for resource in state["deployment"].get("resources") or []}
    seed = node.name == description.config.cluster.seed
    return ("cluster-create" if seed else f"cluster-join-{node.name}") in names


def refuse_members(description: Description, state: State, nodes: Sequence[NestedNode]) -> None:
    """Refuse if a node without its VM was a member already; pure.

    Raises:
        AdminError: member-vm-missing.
    """
    lost = [node for node in nodes if is_member(description, state, node)]
    if lost:
        raise AdminError(
            "member-vm-missing",
            "the VM of a cluster member is gone",
            observed=", ".join(f"no VM {node.vmid} ({node.name}) on {node.host}" for node in lost),
            expected="every member has its VM",
        )


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
