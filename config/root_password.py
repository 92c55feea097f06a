"""The root password of nested nodes as its hash: all that their installer and its CD get to see.

The salt is derived, so that the hash is the same in each preview; from the stack's secret seed, so that no other
stack has it and it reveals nothing of the password.
"""

from __future__ import annotations

import functools
import hashlib
import hmac

SALT_LENGTH = 16
PURPOSE = b"nested-pve-ha: salt of the root password"


@functools.cache  # the nodes of a stack share one
def hashed(password: str, seed: str) -> str:
    """The password as crypt(5) has it in /etc/shadow: SHA-512."""
    # Loaded here: most runs of the program's parts hash nothing.
    from passlib.hash import sha512_crypt  # type: ignore[import-untyped]  # noqa: PLC0415

    salt = hmac.new(seed.encode(), PURPOSE, hashlib.sha256).hexdigest()[:SALT_LENGTH]
    # The default of crypt(3) and chpasswd(8): the number of rounds then stands nowhere.
    return str(sha512_crypt.using(salt=salt, rounds=5000).hash(password))
