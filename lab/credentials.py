"""The passwords and keys of one lab: made when it comes up, kept outside version control, gone with it."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.shape import HOSTS

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings
    from lab.shape import Shape


@dataclass(frozen=True)
class KeyPair:
    """An SSH key: OpenSSH's private format and the public line."""

    private: str
    public: str


def _pair(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, comment: str) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return KeyPair(private, f"{public} {comment}".strip())


def new_ed25519(comment: str = "") -> KeyPair:
    """A fresh Ed25519 key."""
    return _pair(ed25519.Ed25519PrivateKey.generate(), comment)


def new_ecdsa(comment: str = "") -> KeyPair:
    """A fresh ECDSA P-256 key."""
    return _pair(ec.generate_private_key(ec.SECP256R1()), comment)


def new_rsa(comment: str = "") -> KeyPair:
    """A fresh RSA key of 2048 bits: enough for a lab, and quickly made."""
    return _pair(rsa.generate_private_key(65537, 2048), comment)


def write_private(path: Path, text: str, owner: tuple[int, int] = (0, 0)) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchown(file.fileno(), *owner)
        file.write(text)


def write_host_key(root: Path, kind: str, pair: KeyPair) -> None:
    """Give a system one of its SSH host keys."""
    private = root / f"etc/ssh/ssh_host_{kind}_key"
    write_private(private, pair.private)
    public = private.with_suffix(".pub")
    public.write_text(pair.public + "\n")
    public.chmod(0o644)


def host_key_path(settings: Settings, machine: str) -> Path:
    """Where the host key of a lab-made machine is kept, so that a reset machine keeps its identity."""
    return settings.state / "host-keys" / machine


def make(settings: Settings, shape: Shape, owner: tuple[int, int]) -> None:
    """Make all credentials of a lab unless they exist."""
    if settings.credentials.exists():
        return
    admin = new_ed25519("admin@lab.internal")
    document: dict[str, Any] = {
        "sshPrivateKey": admin.private,
        "sshPublicKey": admin.public,
        "rootPassword": secrets.token_urlsafe(16),
        "apiPassword": secrets.token_urlsafe(16),
        "hostKeySeed": secrets.token_hex(32),
        "outerHosts": {},
        "nodes": {},
    }
    host_key_path(settings, "").mkdir(mode=0o700, exist_ok=True)
    for machine in shape.machines:
        key = new_ed25519()
        write_private(host_key_path(settings, machine.name), key.private)
        if machine.kind in HOSTS:
            document["outerHosts"][machine.name] = {"password": secrets.token_urlsafe(16), "hostKey": key.public}
        else:
            document["nodes"][machine.name] = {"hostKey": key.public}
    write_private(settings.state / "id_ed25519", admin.private, owner)
    write_private(settings.credentials, json.dumps(document, indent=2) + "\n", owner)


def hand_over(settings: Settings, owner: tuple[int, int]) -> None:
    """Let the user have those that `make` gives him; they may be of another user's lab."""
    for file in (settings.state / "id_ed25519", settings.credentials):
        os.chown(file, *owner)


def load(settings: Settings) -> dict[str, Any]:
    """Read them back."""
    document: dict[str, Any] = json.loads(settings.credentials.read_text())
    return document


def root_password(document: dict[str, Any], machine: str) -> str:
    """The root password of a lab-made machine."""
    outer = document["outerHosts"].get(machine)
    password: str = outer["password"] if outer else document["rootPassword"]
    return password
