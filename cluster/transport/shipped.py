"""Runs a step with the on-node package of this checkout, sent over the connection: nothing is left on the machine.

So a step works even if the package on the machine is missing, altered, or of an earlier version. Where it is the same to
the letter it is used: what is sent has to be compiled first, which takes longer than most steps.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import inspect
import io
import json
import os
import shlex
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.transport.nodes import PACKAGE, StepResult, result_of, show
from onnode.contract.documents import document

if TYPE_CHECKING:
    from cluster.transport.ssh import Connection

SOURCE = Path(__file__).resolve().parents[2] / "onnode"


def fingerprint(package: str) -> str:
    """What a package's sources amount to: SHA-256 of their names and what is in them.

    It also runs on the machine, on its own.
    """
    found = hashlib.sha256()
    for directory, folders, names in os.walk(package):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = f"{directory}/{name}"
                with open(path, "rb") as file:  # noqa: PTH123 - the machine would have to load pathlib
                    content = file.read()
                found.update(f"{path[len(package) :]} {len(content)}\n".encode() + content)
    return found.hexdigest()


_START = """\
installed, wanted, package = sys.argv.pop(1), *sys.stdin.readline().split()
if fingerprint(installed) == wanted:
    sys.dont_write_bytecode = True  # a look leaves nothing
    sys.path.insert(0, os.path.dirname(installed))
else:
    sent = os.memfd_create("nested-pve-ha")
    with os.fdopen(os.dup(sent), "wb") as file:
        file.write(base64.b64decode(package))
    sys.path.insert(0, f"/proc/self/fd/{sent}")
from onnode.dispatch import main
sys.exit(main(sys.argv[1:]))
"""


@functools.cache
def program(package: str = PACKAGE) -> str:
    """The command that takes a package from its standard input, or what is installed there, and runs a step."""
    source = f"import base64, hashlib, os, sys\n{inspect.getsource(fingerprint)}{_START}"
    return f"python3 -c {shlex.quote(source)} {shlex.quote(package)}"


def files(source: Path = SOURCE) -> dict[str, bytes]:
    """The package's code, by its path within the package."""
    return {path.relative_to(source).as_posix(): path.read_bytes() for path in sorted(source.rglob("*.py"))}


@functools.cache
def packed(source: Path = SOURCE) -> str:
    """What the command reads first: the package, as one line."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files(source).items():
            archive.writestr(f"onnode/{name}", content)
    return f"{fingerprint(str(source))} {base64.b64encode(packed.getvalue()).decode()}"


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
        f"{program()} {shlex.quote(step)}",
        stdin=f"{packed()}\n{given}",
        timeout_s=timeout_s,
        on_stderr=None if quiet else lambda line: show(connection.machine.name, line),
    )
    return result_of(connection.machine.name, step, completed)
