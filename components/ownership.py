"""Around what the provider makes by number or name: it is changed and deleted only while it is this stack's own.

A hook looks right before it is made or changed. A hook on deletion would make plain `pulumi destroy` need the program;
so a guard of its own stands before each thing, is deleted first, and looks then (decision 7).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pulumi

from cluster.contract import Ownership
from cluster.marks import BRIDGE, VM
from components import hook_steps, steps

if TYPE_CHECKING:
    from components.site import Site
    from config.model import NestedNode, OuterHost, VmGuest


def of_node(site: Site, host: OuterHost, node: NestedNode) -> Ownership:
    """A node's VM on its outer host."""
    return Ownership([site.machine(host)], site.stack, VM, str(node.vmid), "foreign-vmid", site.machine(node))


def of_bridge(site: Site, host: OuterHost, name: str) -> Ownership:
    """A bridge of an outer host."""
    return Ownership([site.machine(host)], site.stack, BRIDGE, name, "foreign-bridge")


def of_guest(site: Site, guest: VmGuest) -> Ownership:
    """A guest of the cluster, which any member can show."""
    return Ownership(site.machines, site.stack, VM, str(guest.vmid), "guest-foreign", called=guest.name)


def before_changes(
    logical: str, site: Site, wanted: Ownership, *before_update: pulumi.ResourceHook
) -> pulumi.ResourceHookBinding:
    """Look right before it is made or changed; what is somebody else's is refused."""

    async def refuse_foreign(args: pulumi.ResourceHookArgs) -> None:
        # An update is of a thing that is there: somebody may have given a copy of it its name.
        look_for = replace(wanted, called="") if args.old_inputs else wanted
        await hook_steps.run("ownership", look_for, site)

    look = pulumi.ResourceHook(f"{logical}-ownership", refuse_foreign)
    return pulumi.ResourceHookBinding(before_create=[look], before_update=[look, *before_update])


def guard(
    logical: str,
    site: Site,
    wanted: Ownership,
    thing: pulumi.Resource,
    parent: pulumi.Resource,
    *others: pulumi.Resource,
) -> pulumi.Resource:
    """Look before it is deleted: the guard is replaced with the thing, and deleted before it and the others."""
    opts = steps.after(parent, thing, *others, replace_with=[thing])
    return steps.at_removal(f"{logical}-guard", "delete-guard", wanted, site.ssh_secrets, opts)
