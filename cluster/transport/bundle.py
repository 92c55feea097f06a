"""The file of authorities that SSL_CERT_FILE names for the engine: the system's, and those read from machines."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cluster.errors import AdminError
from cluster.waiting import until
from config.paths import OWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DIRECTORY = OWN / "authorities"
VARIABLE = "SSL_CERT_FILE"
LOCK_S = 30.0  # a writer needs milliseconds
SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
MARK = "# The system's authorities, and those of the machines of a stack. Made by nested-pve-ha; written anew in each run.\n"


def of(stack: str) -> Path:
    """Where a stack's bundle is; with the system's authorities only, if no run has looked at machines yet."""
    bundle = DIRECTORY / f"{stack}.pem"
    if not bundle.is_file():
        write(bundle, [])
    return bundle


def write(bundle: Path, authorities: Iterable[str]) -> None:
    """Let the bundle hold the system's authorities and these; replaced whole, since others may be reading it."""
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with _locked(bundle):
        _replace(bundle, MARK + _system() + _text(authorities))


def add(authorities: Iterable[str]) -> None:
    """Add to the bundle of the run that this process is part of.

    Raises:
        AdminError: engine-environment.
    """
    bundle = Path(os.environ.get(VARIABLE, "/"))
    if bundle.parent != DIRECTORY or not bundle.is_file():
        raise AdminError(
            "engine-environment",
            "the engine runs without this program's environment",
            observed=f"{VARIABLE} is {os.environ.get(VARIABLE, 'not set')}",
            expected=f"a file in {DIRECTORY}",
        )
    with _locked(bundle):
        there = bundle.read_text()
        if added := _text(pem for pem in authorities if pem not in there):
            _replace(bundle, there + added)


@contextmanager
def _locked(bundle: Path) -> Iterator[None]:
    """One writer at a time: two steps of a run may add at the same moment.

    Raises:
        AdminError: stack-locked.
    """
    with bundle.with_suffix(".lock").open("w") as stream:
        if not until(lambda: _is_free(stream), bool, timeout_s=LOCK_S, poll_s=0.02):
            raise AdminError(
                "stack-locked",
                "another run holds the file of this stack's authorities",
                observed=f"{stream.name} is locked since more than {LOCK_S:g} s",
                expected="no other run on this stack",
            )
        yield


def _is_free(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(bundle: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=bundle.parent)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, 0o644)  # public, and read by whoever runs the engine next
        stream.write(text)
    Path(name).replace(bundle)


def _text(authorities: Iterable[str]) -> str:
    return "".join(f"{pem.strip()}\n" for pem in dict.fromkeys(authorities))


def _system() -> str:
    """What this system trusts: the file that the caller's SSL_CERT_FILE names, else the first of those that Go looks for."""
    for file in (os.environ.get(VARIABLE, ""), *SYSTEM):
        try:
            text = Path(file).read_text(errors="replace")
        except OSError:
            continue
        if not text.startswith(MARK):
            return f"{text.rstrip()}\n"
    return ""
