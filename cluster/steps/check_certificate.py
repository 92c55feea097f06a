"""check-certificate: the engine trusts what the machines hold, as seen over SSH, and it is what their API presents.

On a first run this is when the cluster's authority comes to be known: the provider that is configured afterwards reads it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cluster.errors import AdminError
from cluster.surroundings import ENDPOINT
from cluster.transport import bundle, certificates, endpoint, members
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.call import Call
    from cluster.contract import CheckCertificate, Machine


async def bring_about(desired: CheckCertificate, call: Call) -> Outcome:
    """Read over SSH, add to what the engine trusts, then compare with what is presented.

    Raises:
        StepError: engine-environment, api-unreachable, api-certificate, or why a machine did not answer when none did.
    """
    machine = await compare(desired.endpoint or _endpoint(), desired.machines, call)
    return Outcome(changed=False, facts={"machine": machine})


def _endpoint() -> str:
    """Where the provider finds the cluster under `pinned`."""
    url = os.environ.get(ENDPOINT)
    if not url:
        raise AdminError(
            "engine-environment",
            "the engine runs without this program's environment",
            observed=f"{ENDPOINT} is not set",
            expected="the address of a member",
        )
    return url


async def compare(url: str, machines: Sequence[Machine], call: Call) -> str:
    """The machine that answers at this URL with its own certificate."""
    async with members.connections(machines, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, certificates.all_held)
    own = members.answered(answers)
    if not own:
        members.raise_first(answers.values())
    bundle.add(pem for held in own.values() for pem in held.trusted)
    return await endpoint.who(url, own)
