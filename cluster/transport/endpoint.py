"""Who answers at an endpoint: refused unless it is by a certificate that its machine holds, for the endpoint's name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from cluster.errors import AdminError
from cluster.transport import certificates
from onnode.cluster.membership import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.transport.certificates import Held


async def check(endpoint: str, held: Held | None) -> None:
    """Refuse an endpoint that accepts connections and does not answer, or whose certificate is not its machine's, for that name.

    One that accepts no connections is left to the run, which fails at once.

    Args:
        endpoint: the URL.
        held: what its machine holds; None where it is not pinned.

    Raises:
        AdminError: api-certificate, api-unreachable.
    """
    if held is None:
        await refuse_silent(endpoint)
        return
    try:
        await _refuse_foreign(endpoint, [held])
    except ConnectionError:
        await refuse_silent(endpoint)


async def refuse_silent(endpoint: str) -> None:
    """Refuse an endpoint where the provider would wait for ever.

    Raises:
        AdminError: api-unreachable.
    """
    url = urlsplit(endpoint)
    if await certificates.silent(url.hostname or "", url.port or 443):
        raise AdminError(
            "api-unreachable",
            f"{endpoint} accepts connections, but does not answer",
            observed=f"no TLS within {certificates.TLS_S:g} s",
            expected="an API that answers",
            fix=f"on the machine behind {url.hostname}: `systemctl restart pveproxy`; then run the same command again",
        )


async def who(endpoint: str, own: Mapping[str, Held]) -> str:
    """The machine that answers at an endpoint.

    Raises:
        AdminError: api-unreachable, api-certificate.
    """
    try:
        found = await _refuse_foreign(endpoint, list(own.values()))
    except ConnectionError:
        what = f"no answer at {endpoint}"
        raise AdminError("api-unreachable", what, observed="no TLS", expected="an API") from None
    return next((name for name, held in own.items() if fingerprint(held.certificate) == found), endpoint)


async def _refuse_foreign(endpoint: str, own: Sequence[Held]) -> str | None:
    """The fingerprint that is presented there."""
    url = urlsplit(endpoint)
    host, port = url.hostname or "", url.port or 443
    why = await certificates.distrust(host, port, [pem for held in own for pem in held.trusted])
    found = await certificates.presented(host, port)
    if why is not None:
        raise certificates.foreign(endpoint, found, why, [text for held in own for text in names_of(held)])
    return found


def names_of(held: Held) -> list[str]:
    """The certificate that a machine holds, for a message: its fingerprint, and for which names it is."""
    if held.certificate is None:
        return ["the machine holds none: `pvecm updatecerts --force` on it makes one"]
    try:
        names = x509.load_pem_x509_certificate(held.certificate.encode()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        listed = ", ".join(str(name.value) for name in names.value)
    except (ValueError, x509.ExtensionNotFound):
        listed = "no name"
    return [f"{fingerprint(held.certificate)}, which is for {listed}"]
