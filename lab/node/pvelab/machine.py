"""What a machine of the lab knows about itself, and what it may ask of the lab's hypervisor."""

from __future__ import annotations

import functools
import json
import os
import socket
from typing import Any

from pvelab.paths import path

RUN_DIR = path("/run/pve-lab")
WORLD_DIR = RUN_DIR / "world"
HYPERVISOR_SOCKET = RUN_DIR / "hypervisor.sock"


class HypervisorError(Exception):
    """The hypervisor refused a request or did not answer."""


def node_name() -> str:
    """The machine's host name without its domain, as Proxmox names nodes."""
    return os.environ.get("PVE_LAB_NODE") or socket.gethostname().partition(".")[0]


@functools.cache
def _facts() -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((RUN_DIR / "machine.json").read_text())
    except FileNotFoundError:
        return {}
    return facts


def time_scale() -> float:
    """The factor on every delay of the HA stack: 1.0 is Proxmox's own timing."""
    return float(_facts().get("time_scale", 1.0))


def scaled(seconds: float) -> float:
    """A delay of the real product, in seconds, at the lab's pace."""
    return seconds * time_scale()


def memory_mib() -> int | None:
    """The machine's memory in MiB, None when the lab does not say."""
    found = _facts().get("memory_mib")
    return None if found is None else int(found)


def is_outer_host() -> bool:
    """True where a started VM becomes a machine of the lab instead of a process."""
    return _facts().get("kind") == "outer"


def ask_hypervisor(operation: str, **arguments: object) -> dict[str, Any]:
    """Ask the lab's hypervisor for one operation.

    Raises:
        HypervisorError: it refused, or nobody listens.
    """
    request = json.dumps({"op": operation, **arguments}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(HYPERVISOR_SOCKET))
            connection.sendall(request.encode())
            with connection.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline() or "{}")
    except OSError as error:
        raise HypervisorError(f"{operation}: {error}") from error
    if not answer.get("ok"):
        raise HypervisorError(f"{operation}: {answer.get('error', 'no answer')}")
    return answer
