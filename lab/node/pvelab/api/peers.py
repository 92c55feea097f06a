"""Which requests are for another member, and how its API is reached."""

from __future__ import annotations

import ssl

from pvelab.machine import node_name

PORT = 8006
# A member that is down shall not hold up its peers' API for long.
CONNECT_TIMEOUT_S = 5.0


def is_elsewhere(node: str | None) -> bool:
    """Whether a request for this node name is for another member."""
    return node not in (None, "localhost", node_name())


def unverified_tls() -> ssl.SSLContext:
    """TLS without a look at the certificate: members have their own ones, and the lab's network is isolated."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
