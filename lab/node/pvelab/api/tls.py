"""The certificate that the API shows."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

from pvelab.machine import node_name
from pvelab.paths import path, pve

if TYPE_CHECKING:
    from pathlib import Path

# Used until `pvecm updatecerts` has made the node's own certificate.
FALLBACK = "/var/lib/pve-lab"


def _fallback() -> tuple[Path, Path]:
    certificate, key = path(f"{FALLBACK}/pveproxy.pem"), path(f"{FALLBACK}/pveproxy.key")
    if not certificate.exists():
        certificate.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-keyout", str(key), "-out", str(certificate), "-days", "365", "-subj", f"/CN={node_name()}"),
            ],
            check=True,
            capture_output=True,
        )
    return certificate, key


def files() -> tuple[Path, Path]:
    """Certificate and key: the administrator's own pveproxy-ssl, else the cluster's, else one for the time being."""
    for name in ("pveproxy-ssl", "pve-ssl"):
        certificate, key = pve(f"local/{name}.pem"), pve(f"local/{name}.key")
        if certificate.exists() and key.exists():
            return certificate, key
    return _fallback()


def context() -> ssl.SSLContext:
    """The server side of TLS, with the certificate as it is now."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = files()
    made.load_cert_chain(certificate, key)
    return made
