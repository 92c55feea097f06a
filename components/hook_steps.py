"""Steps on the control machine that hooks of the engine start, in the program's own process."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from cluster.contract import SECRETS_VARIABLE
from components.recorded import ADMIN
from onnode.contract.documents import document

if TYPE_CHECKING:
    from components.site import Site

STEP_S = 300  # more than the steps' own waits for a machine


class HookError(Exception):
    """The step's own words, for whoever reads the engine's messages."""


async def run(step: str, wanted: Any, site: Site) -> None:  # noqa: ANN401 - any dataclass of cluster.contract
    """Run a step, as a resource of the program would.

    Raises:
        HookError: the step refused, or does not end.
    """
    process = await asyncio.create_subprocess_exec(
        *shlex.split(f"{ADMIN} {step}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, SECRETS_VARIABLE: site.plain_ssh_secrets},
    )
    try:
        async with asyncio.timeout(STEP_S):
            _, said = await process.communicate(json.dumps(document(wanted)).encode())
    except TimeoutError:
        process.kill()
        raise HookError(f"`{step}` did not end within {STEP_S} s") from None
    if process.returncode != 0:
        raise HookError("\n" + said.decode(errors="replace").strip())  # on a line of its own: it has a name
