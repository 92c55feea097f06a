"""Who answers on a TLS port, compared with what the machine itself holds, read over SSH."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from admin.errors import AdminError
from onnode.membership import fingerprint

if TYPE_CHECKING:
    from admin.ssh import Connection

API_PORT = 8006
TLS_S = 5.0
LOOK_S = 10.0
# An own certificate has precedence over the one that Proxmox generated.
_READ = "cat /etc/pve/local/pveproxy-ssl.pem 2>/dev/null || cat /etc/pve/local/pve-ssl.pem"


async def held(connection: Connection) -> str | None:
    """The SHA-256 fingerprint of the certificate that a machine holds for its API; None if it has none."""
    done = await connection.run(_READ, timeout_s=LOOK_S)
    return fingerprint(_leaf(done.stdout))


def _leaf(text: str) -> str | None:
    head, end, _ = text.partition("-----END CERTIFICATE-----")
    return head + end if end else None


async def presented(host: str, port: int = API_PORT) -> str | None:
    """The SHA-256 fingerprint of the certificate that is presented at a TLS port; None if nobody answers."""
    context = ssl.create_default_context()
    # The fingerprint is what is compared; chain and name say nothing about a certificate that a node made itself.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(TLS_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return None
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return fingerprint(ssl.DER_cert_to_PEM_cert(der))


def refuse_foreign(where: str, found: str | None, own: dict[str, str | None]) -> str:
    """The machine whose certificate is presented there.

    Raises:
        AdminError: api-unreachable, api-certificate.
    """
    if found is None:
        raise AdminError(
            "api-unreachable", f"nobody answers at {where}", observed=f"no TLS at {where}", expected="an API"
        )
    if match := next((name for name, fingerprint_ in own.items() if fingerprint_ == found), None):
        return match
    raise AdminError(
        "api-certificate",
        f"the certificate presented at {where} belongs to none of the described machines",
        observed=found,
        expected=", ".join(f"{name} {fingerprint_ or 'has none'}" for name, fingerprint_ in own.items()),
    )
