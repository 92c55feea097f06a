"""Checking and setting passwords: the node's own shadow file for @pam, priv/shadow.cfg for @pve."""

from __future__ import annotations

import ctypes
import hmac
import secrets
import string
import subprocess
import threading
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.errors import PveError, die
from pvelab.paths import ROOT, path

if TYPE_CHECKING:
    from collections.abc import Callable

SHADOW = "priv/shadow.cfg"
_SALT = string.ascii_letters + string.digits + "./"
_lock = threading.Lock()


def _crypt(password: str, setting: str) -> str:
    """The C library's crypt(3), which Python no longer has; it answers in memory that is shared between threads."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    with _lock:
        result: bytes | None = library.crypt(password.encode(), setting.encode())
        return result.decode() if result else "*"


def _matches(password: str, stored: str) -> bool:
    return stored.startswith("$") and hmac.compare_digest(_crypt(password, stored), stored)


def _shadow_entries(text: str) -> dict[str, str]:
    return {fields[0]: fields[1] for fields in (line.split(":") for line in text.splitlines()) if len(fields) > 1}


def _check_pam(name: str, password: str) -> bool:
    return _matches(password, _shadow_entries(path("/etc/shadow").read_text()).get(name, ""))


def _check_pve(name: str, password: str) -> bool:
    return _matches(password, _shadow_entries(cfs.read(SHADOW)).get(name, ""))


def _store_pam(name: str, password: str) -> None:
    done = subprocess.run(
        ["chpasswd", "--root", str(ROOT)] if str(ROOT) != "/" else ["chpasswd"],
        input=f"{name}:{password}",
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise die(f"change password failed: {done.stderr.strip()}")


def _store_pve(name: str, password: str) -> None:
    salt = "".join(secrets.choice(_SALT) for _ in range(16))
    _rewrite_shadow(lambda entries: {**entries, name: _crypt(password, f"$5${salt}$")})


def _rewrite_shadow(edit: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with cfs.lock("file-priv_shadow_cfg"):
        entries = edit(_shadow_entries(cfs.read(SHADOW)))
        cfs.write(SHADOW, "".join(f"{name}:{stored}:\n" for name, stored in sorted(entries.items())))


def forget(userid: str) -> None:
    """Remove the stored password of a user that goes away."""
    name, _, realm = userid.rpartition("@")
    if realm == "pve":
        _rewrite_shadow(lambda entries: {key: stored for key, stored in entries.items() if key != name})


def check(userid: str, password: str) -> bool:
    """Whether this is the user's password; an unknown realm has none."""
    name, _, realm = userid.rpartition("@")
    checks = {"pam": _check_pam, "pve": _check_pve}
    return realm in checks and checks[realm](name, password)


def store(userid: str, password: str) -> None:
    """Set a user's password.

    Raises:
        PveError: the realm keeps no passwords here.
    """
    name, _, realm = userid.rpartition("@")
    stores = {"pam": _store_pam, "pve": _store_pve}
    if realm not in stores:
        raise PveError(500, f"domain '{realm}' does not exist")
    stores[realm](name, password)
