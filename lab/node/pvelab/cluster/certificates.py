"""The cluster's certificate authority and each node's certificate."""

from __future__ import annotations

import hashlib
import ssl
import tempfile
import uuid
from pathlib import Path

from pvelab.cluster.processes import run
from pvelab.paths import path, pve

# Proxmox uses 4096 bits for the authority; the only difference is the time that it takes.
_KEY_BITS = "2048"
_AUTHORITY_DAYS = "3650"
_NODE_DAYS = "730"


def fingerprint(certificate: Path) -> str:
    """The SHA-256 fingerprint as Proxmox shows it: upper-case pairs with colons."""
    der = ssl.PEM_cert_to_DER_cert(_first_certificate(certificate.read_text()))
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))


def _first_certificate(text: str) -> str:
    end = "-----END CERTIFICATE-----"
    return text[: text.index(end) + len(end)] + "\n"


def node_fingerprint(node: str) -> str:
    """The fingerprint that a node's API shows.

    Raises:
        FileNotFoundError: the node has no certificate yet.
    """
    custom = pve(f"nodes/{node}/pveproxy-ssl.pem")
    return fingerprint(custom if custom.exists() else pve(f"nodes/{node}/pve-ssl.pem"))


def make_keys(node: str) -> None:
    """The keys for tickets and CSRF tokens, shared by the cluster, and the node's own key."""
    ticket_key = pve("priv/authkey.key")
    if not ticket_key.exists():
        _make_key(ticket_key)
        run(["openssl", "rsa", "-in", str(ticket_key), "-pubout", "-out", str(pve("authkey.pub"))])
    for key in (pve("pve-www.key"), pve(f"nodes/{node}/pve-ssl.key")):
        if not key.exists():
            _make_key(key)


def make_authority() -> bool:
    """Make the cluster's authority, if there is none yet; whether it was made."""
    key, certificate = pve("priv/pve-root-ca.key"), pve("pve-root-ca.pem")
    if key.exists() and certificate.exists():
        return False
    _make_key(key)
    subject = f"/CN=Proxmox Virtual Environment/OU={uuid.uuid4()}/O=PVE Cluster Manager CA/"
    form = ["-batch", "-new", "-x509", "-nodes", "-days", _AUTHORITY_DAYS, "-subj", subject]
    run(["openssl", "req", *form, "-key", str(key), "-out", str(certificate)])
    return True


def make_node_certificate(node: str, address: str) -> None:
    """Sign a new certificate for a node's key."""
    with tempfile.TemporaryDirectory() as directory:
        config, request = Path(directory) / "config", Path(directory) / "request"
        config.write_text(_request_config(node, address))
        key = str(pve(f"nodes/{node}/pve-ssl.key"))
        run(["openssl", "req", "-batch", "-new", "-config", str(config), "-key", key, "-out", str(request)])
        authority = ["-CA", str(pve("pve-root-ca.pem")), "-CAkey", str(pve("priv/pve-root-ca.key"))]
        form = [
            "-days",
            _NODE_DAYS,
            "-set_serial",
            f"0x{uuid.uuid4().hex}",
            "-extfile",
            str(config),
            "-extensions",
            "v3_req",
        ]
        run(
            [
                "openssl",
                "x509",
                "-req",
                "-in",
                str(request),
                *authority,
                *form,
                "-out",
                str(pve(f"nodes/{node}/pve-ssl.pem")),
            ]
        )


def _request_config(node: str, address: str) -> str:
    names = ["IP:127.0.0.1", "IP:::1", "DNS:localhost", f"IP:{address}", f"DNS:{node}"]
    fqdn = f"{node}.{domain}" if (domain := _search_domain()) else node
    if fqdn != node:
        names.append(f"DNS:{fqdn}")
    return (
        "[req]\nprompt = no\ndistinguished_name = subject\nreq_extensions = v3_req\n"
        f"[subject]\norganizationalUnitName = PVE Cluster Node\norganizationName = Proxmox Virtual Environment\ncommonName = {fqdn}\n"
        f"[v3_req]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\nsubjectAltName = {','.join(names)}\n"
    )


def _search_domain() -> str:
    try:
        lines = path("/etc/resolv.conf").read_text().splitlines()
    except FileNotFoundError:
        return ""
    found = [line.split()[1] for line in lines if line.startswith("search ") and len(line.split()) > 1]
    return found[-1] if found else ""


def _make_key(target: Path) -> None:
    run(["openssl", "genrsa", "-out", str(target), _KEY_BITS])
