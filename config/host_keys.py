"""SSH host keys of nested nodes, derived so that they are pinned before the node exists (decision 4)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

# Order of the group of NIST P-256 (FIPS 186-4, D.1.2.3).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SCALAR_BYTES = 48  # half as long again as the order: the remainder's bias is below 2^-128 (FIPS 186-4, B.4.1)


@dataclass(frozen=True)
class HostKey:
    """A node's ECDSA P-256 host key.

    Attributes:
        private_pem: the private half; this encoding holds no random part, unlike OpenSSH's own.
        public: the public line, without comment.
    """

    private_pem: str
    public: str


def derive(seed: str, node: str) -> HostKey:
    """The key of one node: the same for the same seed and name, unrelated for any other."""
    hkdf = HKDF(hashes.SHA256(), SCALAR_BYTES, salt=None, info=f"nested-pve-ha ssh host key {node}".encode())
    scalar = int.from_bytes(hkdf.derive(seed.encode()), "big") % (P256_ORDER - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    return HostKey(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )
