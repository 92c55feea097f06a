"""Runs a step with the on-node package of this checkout, sent over the connection: nothing is left on the machine.

So a step works even if the package on the machine is missing, altered, or of an earlier version.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import shlex
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.transport.nodes import StepResult, result_of, show
from onnode.contract.documents import document

if TYPE_CHECKING:
    from cluster.transport.ssh import Connection

SOURCE = Path(__file__).resolve().parents[2] / "onnode"
_START = """\
import base64, os, sys
package = os.memfd_create("nested-pve-ha")
with os.fdopen(os.dup(package), "wb") as file:
    file.write(base64.b64decode(sys.stdin.readline()))
sys.path.insert(0, f"/proc/self/fd/{package}")
from onnode.dispatch import main
sys.exit(main(sys.argv[1:]))
"""


def files(source: Path = SOURCE) -> dict[str, bytes]:
    """The package's code, by its path within the package."""
    return {path.relative_to(source).as_posix(): path.read_bytes() for path in sorted(source.rglob("*.py"))}


@functools.cache
def _packed() -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files().items():
            archive.writestr(f"onnode/{name}", content)
    return base64.b64encode(packed.getvalue()).decode()


def digests() -> dict[str, str]:
    """The package's files, each with its SHA-256."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files().items()}


async def run(
    connection: Connection, step: str, desired: object, *, timeout_s: float, quiet: bool = True
) -> StepResult:
    """Run a step.

    Args:
        connection: the machine.
        step: its name.
        desired: its dataclass of `onnode.contract`, None for steps without input.
        timeout_s: bound for the whole step.
        quiet: show no progress.

    Raises:
        NodeStepError, AdminError: as :func:`cluster.transport.nodes.run_step`.
    """
    given = "" if desired is None else json.dumps(document(desired))
    completed = await connection.run(
        f"python3 -c {shlex.quote(_START)} {shlex.quote(step)}",
        stdin=f"{_packed()}\n{given}",
        timeout_s=timeout_s,
        on_stderr=None if quiet else lambda line: show(connection.machine.name, line),
    )
    return result_of(connection.machine.name, step, completed)
