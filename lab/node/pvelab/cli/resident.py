"""A process that has loaded what reads need, and forks for each: `pvesh get` loads for three times as long as it works.

A fork runs the tool's own code with the caller's output, so it answers as the tool itself would. Started by systemd at the first
question; `reading.py` asks it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import traceback
from typing import TYPE_CHECKING, NoReturn

from pvelab.api.routes import ha, lxc, nodes, qemu, resources, storages, users  # noqa: F401 - loaded for the forks
from pvelab.cli import pvesh, pvesm, pveum, qm, tool

if TYPE_CHECKING:
    from collections.abc import Callable

FROM_SYSTEMD = 3
QUESTION = 65536
TOOLS: dict[str, Callable[[list[str]], int]] = {
    "pvesh": pvesh.main,
    "pvesm": lambda words: tool.main("pvesm", pvesm.COMMANDS, words),
    "pveum": lambda words: tool.main("pveum", pveum.COMMANDS, words),
    "qm": lambda words: tool.main("qm", qm.COMMANDS, words),
}


def serve(listening: socket.socket) -> NoReturn:
    """Fork for each question, for ever."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    gc.freeze()  # what is loaded stays, and is not looked through in each fork
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    """Run a tool, and send its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    words, output, _, _ = socket.recv_fds(connection, QUESTION, 2)
    for number, descriptor in enumerate(output, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    name, *arguments = words.decode(errors="surrogateescape").split("\0")
    try:
        code = TOOLS[name](arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    except Exception:  # noqa: BLE001 - as the interpreter does for a tool of its own process
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(b"%d" % code)
    os._exit(0)


def _end_with(connection: socket.socket) -> None:
    """End when the caller does: somebody may have killed it."""
    connection.recv(1)
    os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=FROM_SYSTEMD))
