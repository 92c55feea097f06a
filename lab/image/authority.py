"""The lab's certificate authority: signs the download server's certificate, trusted by every machine of the lab."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lab.credentials import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

LIFETIME = dt.timedelta(days=3650)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )


def directory(settings: Settings) -> Path:
    """Where the authority's and the server's files are."""
    return settings.state / "authority"


def certificate(settings: Settings) -> str:
    """The authority's certificate, for trust stores."""
    return (directory(settings) / "ca.pem").read_text()


def make(settings: Settings, names: tuple[str, ...]) -> None:
    """Make the authority and one server certificate for the names."""
    place = directory(settings)
    place.mkdir(mode=0o700, exist_ok=True)
    root_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = "Nested PVE HA lab authority"
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    root = _builder(issuer, issuer, root_key).add_extension(constraints, critical=True).sign(root_key, hashes.SHA256())
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    server = (
        _builder(names[0], issuer, server_key)
        .add_extension(alternatives, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    (place / "ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (place / "server.pem").write_bytes(server.public_bytes(Encoding.PEM))
    key = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    write_private(place / "server.key", key)
