"""`adopt` with an endpoint: look at a live cluster, and write the stack file that describes it. Nothing else is written."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from cli import description
from cli.adopt import render
from cli.adopt.describe import describe
from cli.adopt.look import look
from cli.backend import namesakes
from cli.console import line, out, stage
from cluster.errors import AdminError
from config import credentials
from config.errors import ConfigError
from config.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# As `cluster.api.endpoint` of a stack file has it; port 8006 is where Proxmox VE's API is.
ENDPOINT = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/?")
STACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
ADDED = (
    "on each node: the program's own steps in /var/lib/nested-pve-ha, with a note of which stack has the node",
    "in the cluster: the user pulumi@pve, with a role of its own",
    "on a QDevice's server: what is missing there of corosync-qnetd",
)


def adopt(stack: str, endpoint: str, fingerprint: str, *, guests: bool) -> None:
    """Write the stack file of a live cluster.

    Args:
        stack: the name of the new stack.
        endpoint: the URL of a member's API.
        fingerprint: of that member's SSH host key, as somebody read it on its console; empty: nobody has.
        guests: describe the guests that HA looks after, and name every other one, with the reason.

    Raises:
        AdminError: bad-call, adopt-exists, stack-name-taken, config-invalid (the credentials), and those of
            :func:`cli.adopt.look.look` and :func:`cli.adopt.describe.describe`.
    """
    file = new_file(stack, endpoint)
    try:
        key = credentials.ssh_key(os.environ).ssh_private_key.get_secret_value()
    except ConfigError as error:
        raise description.InvalidConfigError(str(error)) from None
    with stage(f"Look at the cluster behind {endpoint}"):
        found = asyncio.run(look(endpoint, fingerprint, key))
        described = describe(found, stack, guests=guests)
        text = render.text(described.document, described.left_out)
    _write(file, text)
    for told in report(file.name, stack, described.left_out):
        out.print(line(told), markup=False, soft_wrap=True)


def new_file(stack: str, endpoint: str) -> Path:
    """Where the stack file goes.

    Raises:
        AdminError: bad-call, adopt-exists, stack-name-taken.
    """
    if not STACK.fullmatch(stack):
        raise AdminError("bad-call", f"{stack} is no stack name", expected="letters, digits, - and _")
    if not ENDPOINT.fullmatch(endpoint):
        raise AdminError(
            "bad-call",
            "ENDPOINT is not the URL of an API",
            observed=endpoint,
            expected="https://, a name or an IPv4 address of a member, and the port: https://192.168.0.101:8006",
            fix="run the same command with such a URL",
        )
    file = ROOT / f"Pulumi.{stack}.yaml"
    if file.exists():
        raise _exists(file)
    namesakes.refuse(stack, description.stacks(), "has a stack file here, too")
    return file


def _exists(file: Path) -> AdminError:
    return AdminError("adopt-exists", f"{file.name} exists, and is not overwritten", observed=str(file))


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x") as stream:
            stream.write(text)
    except FileExistsError:
        raise _exists(file) from None


def report(name: str, stack: str, left_out: Sequence[str]) -> list[str]:
    """What is said at the end: what the file lacks, what the first run adds, and the next commands."""
    lines = [f"wrote {name}; the cluster was only looked at"]
    lines += ["not described:", *(f"  {line}" for line in left_out)] if left_out else []
    lines += [
        "the first `make up` changes nothing of the cluster's settings; it adds:",
        *(f"  {line}" for line in ADDED),
    ]
    lines += [
        f"Next: make shell STACK={stack} (sets its secrets) | make preview STACK={stack} LOOK=1 | make up STACK={stack}"
    ]
    return lines
