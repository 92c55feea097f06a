"""Who answers on a TLS port, compared with what the machine itself holds, read over SSH."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import AdminError
from cluster.waiting import until_async
from onnode.cluster.membership import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.transport.ssh import Connection

API_PORT = 8006
TLS_S = 5.0
LOOK_S = 10.0
# After a reload of pveproxy its old workers answer for 5 s more, with the old certificate.
OLD_WORKERS_S = 7.0
POLL_S = 0.3
# An own certificate has precedence over the one that Proxmox generated.
_READ = "cat /etc/pve/local/pveproxy-ssl.pem 2>/dev/null || cat /etc/pve/local/pve-ssl.pem"
_READ_ALL = "; echo; echo --; ".join(
    (
        f"{{ {_READ}; }} 2>/dev/null",
        "cat /etc/pve/pve-root-ca.pem 2>/dev/null",
        "systemctl is-active pveproxy",
        "cat /etc/pve/.members 2>/dev/null",
        f"timeout {TLS_S:g} openssl s_client -connect 127.0.0.1:{API_PORT} </dev/null 2>/dev/null",
    )
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_QUORATE = re.compile(r'"quorate":\s*1')


@dataclass(frozen=True)
class Held:
    """What a machine holds for its API.

    Attributes:
        certificate: the one that its API presents, PEM; of a chain the first.
        authority: Proxmox' own authority, of the machine or of its cluster, PEM.
        serving: its pveproxy runs.
        quorate: it is in a cluster, and quorate there.
        served: what its API shows to the machine itself, PEM.
    """

    certificate: str | None
    authority: str | None
    serving: bool = True
    quorate: bool = False
    served: str | None = None

    @property
    def trusted(self) -> list[str]:
        """What a connection to its API may be verified by."""
        return [pem for pem in (self.authority, self.certificate) if pem]


async def held(connection: Connection) -> str | None:
    """The SHA-256 fingerprint of the certificate that a machine holds for its API; None if it has none."""
    done = await connection.run(_READ, timeout_s=LOOK_S)
    return fingerprint(_first(done.stdout))


async def all_held(connection: Connection) -> Held:
    """All that a machine holds for its API."""
    done = await connection.run(_READ_ALL, timeout_s=LOOK_S)
    certificate, authority, active, members, served = [*done.stdout.split("\n--\n", 4), "", "", "", ""][:5]
    quorate = bool(_QUORATE.search(members))
    return Held(_first(certificate), _first(authority), active.strip() == "active", quorate, _first(served))


def _first(text: str) -> str | None:
    found = _CERTIFICATE.search(text)
    return found[0] if found else None


async def presented(host: str, port: int = API_PORT) -> str | None:
    """The SHA-256 fingerprint of the certificate that is presented at a TLS port; None without an answer."""
    context = ssl.create_default_context()
    # The fingerprint is what is compared; chain and name say nothing about a certificate that a node made itself.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    der = await _handshake(host, port, context)
    return None if der is None else fingerprint(ssl.DER_cert_to_PEM_cert(der))


async def silent(host: str, port: int = API_PORT) -> bool:
    """Whether a port accepts connections, but no TLS within the time: a provider would wait there for ever."""
    try:
        async with asyncio.timeout(TLS_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return await presented(host, port) is None


async def presented_as(wanted: str | None, host: str, port: int = API_PORT) -> str | None:
    """The same, looked at until it is the wanted one, for as long as the old workers of a reloaded pveproxy answer."""
    return await until_async(
        lambda: presented(host, port), lambda found: found in (wanted, None), timeout_s=OLD_WORKERS_S, poll_s=POLL_S
    )


async def distrust(host: str, port: int, trusted: Iterable[str]) -> str | None:
    """Why the certificate at a TLS port is not to be trusted; None if it is. Not for what old workers show.

    As Go verifies it: by one of these authorities or certificates, and for this name.

    Raises:
        ConnectionError: nobody answers there.
    """
    pem = "\n".join(trusted)
    if not pem:
        return "its machine holds no certificate"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return await until_async(
        lambda: _distrust(host, port, context), lambda why: why is None, timeout_s=OLD_WORKERS_S, poll_s=POLL_S
    )


async def _distrust(host: str, port: int, context: ssl.SSLContext) -> str | None:
    try:
        if await _handshake(host, port, context) is None:
            raise ConnectionError(f"no TLS at {host}:{port}")
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return None


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> bytes | None:
    """The certificate of who answers; no byte is sent after the handshake."""
    try:
        async with asyncio.timeout(TLS_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, TimeoutError):
        return None
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return der


def foreign(where: str, found: str | None, why: str, own: Iterable[str]) -> AdminError:
    """Somebody else answers, or by a name that does not stand in the certificate."""
    return AdminError(
        "api-certificate",
        f"the certificate presented at {where} is not trusted, so no password is sent there",
        observed=f"{found or 'no certificate'} ({why})",
        expected=", ".join(own),
    )
