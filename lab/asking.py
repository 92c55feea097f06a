"""Asking the lab daemon: one JSON object per line over a Unix socket.

Apart from the answering, so that who only asks need not load asyncio, which takes as long as all the rest.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

Message = dict[str, Any]


def request(path: Path, message: Message, timeout_s: float = 120) -> Message:
    """Ask once and return the answer.

    Raises:
        OSError: nobody listens at `path`.
        LabError: the daemon refused.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(json.dumps(message).encode() + b"\n")
        line = connection.makefile("rb").readline()
    if not line:
        raise LabError(
            "lab-broken",
            "the lab daemon closed the connection",
            next_step="make in-lab DO=down, then make up",
        )
    answer: Message = json.loads(line)
    if not answer["ok"]:
        raise LabError(answer.get("code", "lab-refused"), answer["error"], **answer.get("details", {}))
    return answer
