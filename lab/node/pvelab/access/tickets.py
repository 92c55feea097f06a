"""Login tickets, CSRF tokens and API tokens; a ticket of one member is good on all, for the key lies in /etc/pve."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time

from pvelab import cfs
from pvelab.access import userdb
from pvelab.errors import PveError
from pvelab.paths import pve

AUTH_KEY = "priv/authkey.key"
CSRF_KEY = "pve-www.key"
TOKENS = "priv/token.cfg"
LIFETIME_S = 2 * 3600
# Members' clocks differ a little, so Proxmox takes tickets from the near future.
CLOCK_SKEW_S = 300


def _key(relative: str) -> bytes:
    """A key of the cluster, made when there is none yet."""
    if not pve(relative).exists():
        cfs.write(relative, secrets.token_hex(64))
    return pve(relative).read_bytes()


def _sign(relative: str, text: str) -> str:
    return base64.b64encode(hmac.digest(_key(relative), text.encode(), hashlib.sha256)).decode().rstrip("=")


def _is_fresh(stamp: str) -> bool:
    try:
        age = time.time() - int(stamp, 16)
    except ValueError:
        return False
    return -CLOCK_SKEW_S < age < LIFETIME_S


def issue(user: str) -> tuple[str, str]:
    """A new ticket for a user, and the CSRF token that its changes need."""
    plain = f"PVE:{user}:{int(time.time()):08X}"
    stamp = f"{int(time.time()):08X}"
    return f"{plain}::{_sign(AUTH_KEY, plain)}", f"{stamp}:{_sign(CSRF_KEY, f'{stamp}:{user}')}"


def verify(ticket: str) -> str:
    """The user of a ticket.

    Raises:
        PveError: 401, the ticket is none of this cluster's, too old, or its user is gone or disabled.
    """
    plain, _, signature = ticket.partition("::")
    parts = plain.split(":")
    shape = ["PVE", "user", "time"]
    if (
        len(parts) != len(shape)
        or not hmac.compare_digest(signature, _sign(AUTH_KEY, plain))
        or not _is_fresh(parts[2])
    ):
        raise PveError(401, "permission denied - invalid PVE ticket")
    require_enabled(parts[1])
    return parts[1]


def verify_csrf(user: str, token: str) -> None:
    """Refuse a change without the token that came with the ticket."""
    stamp, _, signature = token.partition(":")
    if not hmac.compare_digest(signature, _sign(CSRF_KEY, f"{stamp}:{user}")) or not _is_fresh(stamp):
        raise PveError(401, "Permission denied - invalid csrf token")


def require_enabled(user: str) -> None:
    """Refuse a user that does not exist, is disabled or has expired."""
    known = userdb.load().users.get(user)
    if known is None:
        raise PveError(401, f"no such user ('{user}')")
    if not known.enable:
        raise PveError(401, f"user '{user}' is disabled")
    if known.expire and known.expire <= time.time():
        raise PveError(401, f"user '{user}' access expired")


def _token_secrets() -> dict[str, str]:
    return dict(line.split(" ", 1) for line in cfs.read(TOKENS).splitlines() if " " in line)


def store_token_secret(tokenid: str, secret: str | None) -> None:
    """Remember, or with None forget, the secret of an API token "user@realm!name"."""
    with cfs.lock("file-priv_token_cfg"):
        known = {name: value for name, value in _token_secrets().items() if name != tokenid}
        if secret:
            known[tokenid] = secret
        cfs.write(TOKENS, "".join(f"{name} {value}\n" for name, value in sorted(known.items())))


def verify_token(header: str) -> str:
    """The token id of an Authorization header "PVEAPIToken=user@realm!name=secret".

    Raises:
        PveError: 401, no such token, wrong secret, or the token or its user may not log in.
    """
    tokenid, _, secret = header.removeprefix("PVEAPIToken=").partition("=")
    owner, _, name = tokenid.partition("!")
    if not hmac.compare_digest(_token_secrets().get(tokenid, ""), secret) or not secret:
        raise PveError(401, "invalid token value!")
    require_enabled(owner)
    token = userdb.load().users[owner].tokens.get(name)
    if token is None:
        raise PveError(401, f"no such token '{name}' for user '{owner}'")
    if token.expire and token.expire <= time.time():
        raise PveError(401, f"token '{tokenid}' access expired")
    return tokenid
