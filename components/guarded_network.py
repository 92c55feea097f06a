"""Around each change of an outer host's network by its API: armed before, confirmed by a new login after.

Hooks of the engine, so that they run with every change of a bridge (also one that is made again because it was gone),
and with nothing else. They run in the program's own process, in which `admin step` does the work as everywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from typing import TYPE_CHECKING

import pulumi

from admin.desired import SECRETS_VARIABLE, HostNetwork
from components.recorded import ADMIN
from onnode.desired import document

if TYPE_CHECKING:
    from components.config.model import OuterHost
    from components.site import Site


class NetworkChangeError(Exception):
    """The step's own words, for whoever reads the engine's messages."""


def hooks(logical: str, site: Site, host: OuterHost, change: str) -> pulumi.ResourceHookBinding:
    """What is done before and after a change of the host's network, and when it fails.

    Args:
        logical: name of the resource that changes it.
        site: the stack.
        host: the outer host.
        change: in words.
    """
    wanted = json.dumps(document(HostNetwork(site.machine(host), change)))

    async def run(step: str) -> None:
        environment = {**os.environ, SECRETS_VARIABLE: site.plain_ssh_secrets}
        process = await asyncio.create_subprocess_exec(
            *shlex.split(f"{ADMIN} {step}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        _, said = await process.communicate(wanted.encode())
        if process.returncode != 0:
            raise NetworkChangeError(
                "\n" + said.decode(errors="replace").strip()
            )  # on a line of its own: it has a name

    async def arm(_args: pulumi.ResourceHookArgs) -> None:
        await run("arm-network")

    async def confirm(_args: pulumi.ResourceHookArgs) -> None:
        await run("confirm-network")

    async def failed(_args: pulumi.ErrorHookArgs) -> bool:
        """The host may have been cut off: say so, once it is back. Nothing is tried again."""
        try:
            await run("confirm-network")
        except NetworkChangeError as error:
            pulumi.log.error(str(error))
        return False

    before = pulumi.ResourceHook(f"{logical}-arm", arm)
    after = pulumi.ResourceHook(f"{logical}-confirm", confirm)
    return pulumi.ResourceHookBinding(
        before_create=[before],
        before_update=[before],
        after_create=[after],
        after_update=[after],
        on_error=[pulumi.ErrorHook(f"{logical}-reverted", failed)],
    )
