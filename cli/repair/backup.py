"""What a repair replaces is kept on this machine first: /etc/pve, pmxcfs' database, corosync's files; and is seen to be whole.

It has private keys and passwords' hashes: only who ran the command may read it, and nothing of it is shown.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import tarfile
import time
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cluster.errors import AdminError
from config.paths import OWN
from tools.invoker import Invoker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cluster.transport.ssh import Connection

DIRECTORY = OWN / "backups"
FILE = "files.tar.gz"
PACK_S = 120.0
UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
SHARED = "etc/pve"
OTHERS = ("etc/corosync", "var/lib/pve-cluster/config.db", "var/lib/pve-cluster/config.db-wal")
# First line: what is there. Then the archive. pmxcfs' own files with a dot are made when they are read. Tar ends with 1 when a file
# changed meanwhile: corosync's and pmxcfs' are replaced whole, and the database has its log beside it.
PACK = r"""
set -o pipefail
umask 077
cd "$1" && shift || exit 2
there=()
for path in "$@"; do [ -e "$path" ] && there+=("$path"); done
echo "${there[*]}"
[ "${#there[@]}" -gt 0 ] || exit 0
tar -czf - --exclude='etc/pve/.*' --warning=no-file-changed -- "${there[@]}" | base64 -w0
codes=("${PIPESTATUS[@]}")
[ "${codes[0]}" -le 1 ] && [ "${codes[1]}" -eq 0 ]
"""


async def take(connection: Connection, stack: str, *, shared: bool) -> Path:
    """Keep what a node has.

    Args:
        connection: the node.
        stack: whose node it is.
        shared: whether /etc/pve can be read there; one that hangs would hold up whoever reads it.

    Returns:
        The archive.

    Raises:
        AdminError: backup-failed; those of SSH.
    """
    node = connection.machine.name
    paths = [*([SHARED] if shared else []), *OTHERS]
    done = await connection.run(f"bash -s -- / {' '.join(paths)}", stdin=PACK, timeout_s=PACK_S)
    if done.exit_code != 0:
        raise _failed(node, done.stderr.strip() or f"exit {done.exit_code}")
    there, _, packed = done.stdout.partition("\n")
    file = _directory(stack, node) / FILE
    try:
        _write(file, base64.b64decode(packed, validate=True))
        prove(file.read_bytes(), there.split())
    except (binascii.Error, ValueError, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        file.unlink(missing_ok=True)
        file.parent.rmdir()
        raise _failed(node, str(error)) from None
    return file


def prove(content: bytes, there: Sequence[str]) -> list[str]:
    """Read the whole archive; its names.

    Args:
        content: of the archive.
        there: paths that were there, each of which must be in it.

    Raises:
        ValueError, tarfile.TarError, EOFError, OSError, zlib.error: what is wrong with it.
    """
    if not there:
        raise ValueError("there is nothing to keep: neither /etc/pve nor a database nor corosync's files")
    names = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            names.append(member.name)
            if member.isfile() and (stream := archive.extractfile(member)) is not None:
                stream.read()  # to its end, which raises where it comes too early
    kept = {str(parent) for name in names for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    if missing := [path for path in there if path not in kept]:
        raise ValueError(f"the archive lacks {', '.join(missing)}")
    return names


def _failed(node: str, observed: str) -> AdminError:
    return AdminError(
        "backup-failed",
        f"what {node} has could not be kept on this machine, so nothing was changed there",
        observed=observed,
        expected="an archive of /etc/pve, /etc/corosync and pmxcfs' database that can be read",
    )


def _directory(stack: str, node: str) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    of_stack = DIRECTORY / UNSAFE.sub("_", stack)
    made = of_stack / UNSAFE.sub("_", f"{stamp}-{node}")
    of_stack.mkdir(parents=True, exist_ok=True)
    made.mkdir()
    for path in (DIRECTORY, of_stack, made):
        # Never what a link leads to: under sudo that could be anything.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(descriptor, 0o700)
            _give_to_invoker(descriptor)
        finally:
            os.close(descriptor)
    return made


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        _give_to_invoker(stream.fileno())
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _give_to_invoker(descriptor: int) -> None:
    """Under sudo, too, it belongs to the person who called."""
    if os.geteuid() == 0:
        person = Invoker.current()
        os.fchown(descriptor, person.uid, person.gid)
