"""Around each change of an outer host's network by its API: armed before, confirmed by a new login after.

Hooks of the engine, so that they run with every change of a bridge (also one that is made again because it was gone),
and with nothing else. They run in the program's own process, in which `cluster.call` does the work as everywhere.

A removal has no hooks: with them `pulumi destroy` would need the program. The bridge goes with a resource of its own,
whose deletion is a step that looks whose the bridge is, arms, removes and confirms. What of that fails is still in the
state, so that the next try is armed again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pulumi

from cluster.contract import HostNetwork
from components import hook_steps, ownership, steps
from components.recorded import ARMED

if TYPE_CHECKING:
    from components.site import Site
    from config.model import OuterHost


def removal(logical: str, site: Site, host: OuterHost, bridge: str, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """What a bridge depends on, and goes with: it is removed after all that uses the bridge."""
    change = f"removal of bridge {bridge} of {site.stack_tag}"
    wanted = HostNetwork(site.machine(host), change, bridge, ownership.of_bridge(site, host, bridge))
    return steps.at_removal(f"{logical}-{ARMED}", "remove-bridge", wanted, site.ssh_secrets, opts)


@dataclass(frozen=True)
class Hooks:
    """Of a host, not of a bridge: the engine calls them by name, also for a bridge that is not described any more."""

    arm: pulumi.ResourceHook
    confirm: pulumi.ResourceHook
    reverted: pulumi.ErrorHook

    def binding(self) -> pulumi.ResourceHookBinding:
        """What is done before and after a change of a bridge, and when it fails."""
        return pulumi.ResourceHookBinding(
            before_create=[self.arm],
            before_update=[self.arm],
            after_create=[self.confirm],
            after_update=[self.confirm],
            on_error=[self.reverted],
        )


def hooks(logical: str, site: Site, host: OuterHost) -> Hooks:
    """Check the owner and arm, confirm, and report what became of a change that failed.

    Args:
        logical: name of the host's component.
        site: the stack.
        host: the outer host.
    """

    def change(resource: str) -> HostNetwork:
        bridge = resource.removeprefix(f"{logical}-")
        return HostNetwork(site.machine(host), f"bridge {bridge} of {site.stack_tag}", bridge)

    async def arm(args: pulumi.ResourceHookArgs) -> None:
        wanted = change(args.name)
        looked = replace(wanted, ownership=ownership.of_bridge(site, host, wanted.bridge))
        await hook_steps.run("arm-network", looked, site)

    async def confirm(args: pulumi.ResourceHookArgs) -> None:
        await hook_steps.run("confirm-network", change(args.name), site)

    async def failed(args: pulumi.ErrorHookArgs) -> bool:
        """The host may have been cut off: say so, once it is back. Nothing is tried again."""
        try:
            await hook_steps.run("confirm-network", change(args.name), site)
        except hook_steps.HookError as error:
            pulumi.log.error(str(error))
        return False

    return Hooks(
        pulumi.ResourceHook(f"{logical}-network-arm", arm),
        pulumi.ResourceHook(f"{logical}-network-confirm", confirm),
        pulumi.ErrorHook(f"{logical}-network-reverted", failed),
    )
