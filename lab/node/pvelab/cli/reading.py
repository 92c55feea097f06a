"""Ask the resident process (`resident.py`) for a read of a tool; where it gives no answer, do it in this process.

Run with -I -S, and with as few modules as that takes: the start of the interpreter is most of what it costs.
"""

import _socket
import array
import os
import sys

SOCKET = "/run/pve-lab-reads.sock"


def asked(place: str, words: list[str]) -> int | None:
    """The exit code of a tool with its arguments, which has written to this process's output; None without an answer."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [1, 2]))
    try:
        connection.connect(place)
        connection.sendmsg(["\0".join(words).encode(errors="surrogateescape")], [rights])
        answer = connection.recv(16)
    except OSError:
        return None
    return int(answer) if answer else None


if __name__ == "__main__":
    tool, *arguments = sys.argv[1:]
    code = asked(SOCKET, [tool, *arguments])
    if code is None:
        os.execv(sys.executable, [sys.executable, "-m", f"pvelab.cli.{tool}", *arguments])  # noqa: S606
    sys.exit(code)
