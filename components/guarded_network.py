"""Around each change of an outer host's network by its API: armed before, confirmed by a new login after.

Hooks of the engine, so that they run with every change of a bridge (also one that is made again because it was gone),
and with nothing else. They run in the program's own process, in which `admin step` does the work as everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from admin.desired import HostNetwork
from components import hook_steps

if TYPE_CHECKING:
    from components.config.model import OuterHost
    from components.site import Site


def hooks(
    logical: str, site: Site, host: OuterHost, change: str, look: pulumi.ResourceHook
) -> pulumi.ResourceHookBinding:
    """What is done before and after a change of the host's network, and when it fails.

    Args:
        logical: name of the resource that changes it.
        site: the stack.
        host: the outer host.
        change: in words.
        look: whose it is, before the network is armed.
    """
    wanted = HostNetwork(site.machine(host), change)

    async def arm(_args: pulumi.ResourceHookArgs) -> None:
        await hook_steps.run("arm-network", wanted, site)

    async def confirm(_args: pulumi.ResourceHookArgs) -> None:
        await hook_steps.run("confirm-network", wanted, site)

    async def failed(_args: pulumi.ErrorHookArgs) -> bool:
        """The host may have been cut off: say so, once it is back. Nothing is tried again."""
        try:
            await hook_steps.run("confirm-network", wanted, site)
        except hook_steps.HookError as error:
            pulumi.log.error(str(error))
        return False

    before = pulumi.ResourceHook(f"{logical}-arm", arm)
    after = pulumi.ResourceHook(f"{logical}-confirm", confirm)
    return pulumi.ResourceHookBinding(
        before_create=[look, before],
        before_update=[look, before],
        after_create=[after],
        after_update=[after],
        on_error=[pulumi.ErrorHook(f"{logical}-reverted", failed)],
    )
