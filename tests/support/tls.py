"""Certificates as a Proxmox VE node has them, and TLS servers on the loopback that note what they are sent."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ANSWER = b"HTTP/1.1 401 authentication failure\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NODE_NAMES = ("127.0.0.1", "localhost", "pve1", "pve1.lab.internal")


def _signed(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *names: str
) -> str:
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    return made.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """What stands in /etc/pve/pve-root-ca.pem, and signs nodes' certificates."""

    def __init__(self, name: str = "PVE Cluster Manager CA") -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = _signed(name, name, self._key, self._key)

    def issue(self, *names: str) -> tuple[str, str]:
        """A node's certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return _signed("node", self.name, key, self._key, *(names or NODE_NAMES)), key.private_bytes(*form).decode()


@dataclass
class Capture:
    """A server that reads what it is sent, and refuses it.

    Attributes:
        captured: all that came through TLS.
        handshakes: how many connections there were, good or not.
    """

    host: str = "127.0.0.1"
    port: int = 0
    captured: list[bytes] = field(default_factory=list)
    handshakes: int = 0

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"https://{self.host}:{self.port}"


@contextmanager
def capturing(
    directory: Path, certificates: Sequence[tuple[str, str]], host: str = "127.0.0.1", port: int = 0
) -> Iterator[Capture]:
    """Listen on the loopback; with several certificates, show them by turns, as the workers of pveproxy do."""
    directory.mkdir(parents=True, exist_ok=True)
    contexts = [_context(directory / f"{number}.pem", *pair) for number, pair in enumerate(certificates)]
    seen = Capture(host)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            context = contexts[seen.handshakes % len(contexts)]
            seen.handshakes += 1
            with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as stream:
                stream.settimeout(5)
                if sent := stream.recv(65536):
                    seen.captured.append(sent)
                    with contextlib.suppress(TimeoutError):
                        stream.settimeout(0.2)
                        while more := stream.recv(65536):
                            seen.captured.append(more)
                    stream.sendall(ANSWER)

    server = type("Server", (ThreadingTCPServer,), {"allow_reuse_address": True, "daemon_threads": True})(
        (host, port), Handler
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    seen.port = server.server_address[1]
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def _context(file: Path, pem: str, key: str) -> ssl.SSLContext:
    file.write_text(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
