"""check-certificate: the API endpoint presents a certificate that one of the machines holds, seen over SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from admin import certificates, members
from onnode.step import Outcome

if TYPE_CHECKING:
    from admin.desired import CheckCertificate, Machine, Member
    from admin.step import Call


async def bring_about(desired: CheckCertificate, call: Call) -> Outcome:
    """Read over SSH, then compare with what is presented.

    Raises:
        StepError: api-unreachable, api-certificate, or why a machine did not answer when none did.
    """
    machine = await compare(desired.endpoint, desired.machines, call)
    return Outcome(changed=False, facts={"machine": machine})


async def compare(endpoint: str, machines: list[Machine] | list[Member], call: Call) -> str:
    """The machine that answers at the endpoint with its own certificate."""
    async with members.connections(machines, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, certificates.held)
    own = members.answered(answers)
    if not own:
        members.raise_first(answers.values())
    url = urlsplit(endpoint)
    found = await certificates.presented(url.hostname or "", url.port or 443)
    return certificates.refuse_foreign(endpoint, found, own)
