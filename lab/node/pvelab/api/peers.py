"""Which requests are for another member, and how its API is reached."""

from __future__ import annotations

import ssl

from pvelab.cluster.certificates import node_fingerprint
from pvelab.errors import PveError
from pvelab.machine import node_name

PORT = 8006
# A member that is down shall not hold up its peers' API for long.
CONNECT_TIMEOUT_S = 5.0
NOT_THE_MEMBER = "tls_process_server_certificate: certificate verify failed"


def is_elsewhere(node: str | None) -> bool:
    """Whether a request for this node name is for another member."""
    return node not in (None, "localhost", node_name())


def unverified_tls() -> ssl.SSLContext:
    """TLS that takes any certificate: a member is known by its fingerprint, before anything is sent to it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint(node: str) -> bytes:
    """SHA-256 of the certificate that a member's API must show, as /etc/pve has it (PVE::Cluster).

    Raises:
        PveError: 596, it has none there.
    """
    try:
        return bytes.fromhex(node_fingerprint(node).replace(":", ""))
    except FileNotFoundError as error:
        raise PveError(596, NOT_THE_MEMBER) from error
