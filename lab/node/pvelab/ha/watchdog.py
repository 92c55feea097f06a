"""watchdog-mux: as long as every client reports, the node's watchdog is kept from resetting the node."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import stat
import sys
import time
from pathlib import Path

from pvelab import machine
from pvelab.ha.model import WATCHDOG_TIMEOUT_SECONDS

SOCKET = Path("/run/watchdog-mux.sock")
ACTIVE_MARKER = Path("/run/watchdog-mux.active")
DEVICE = Path("/dev/watchdog")
# A character device that swallows everything: the lab has no business with the host's own watchdog.
_HARMLESS_DEVICE = os.makedev(1, 3)
_GOODBYE = b"V"
_REPORT = b"\0"
_POLL_SECONDS = 0.2


class WatchdogClient:
    """An agent's connection; when the agent dies without a word, the node is reset."""

    def __init__(self) -> None:
        """Connect.

        Raises:
            OSError: watchdog-mux is not running.
        """
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.connect(str(SOCKET))
        self.update()

    def update(self) -> None:
        """Report."""
        self._connection.send(_REPORT)

    def close(self) -> None:
        """Take leave."""
        self._connection.send(_GOODBYE)
        self._connection.close()


class Multiplexer:
    """Watches all clients and lets the watchdog fire when one of them falls silent."""

    def __init__(self, listener: socket.socket, timeout: float) -> None:
        """Serve a listening socket.

        Args:
            listener: where clients connect.
            timeout: real seconds of silence after which the node is reset.
        """
        self._listener = listener
        self._timeout = timeout
        self._reported: dict[socket.socket, float] = {}
        self._said_goodbye: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def run_once(self) -> bool:
        """Serve what is waiting; whether the node may live on."""
        for key, _ in self._selector.select(_POLL_SECONDS):
            if key.fileobj is self._listener:
                self._accept()
            elif not self._receive(key.fileobj):  # type: ignore[arg-type]  # only sockets are registered
                return False
        now = time.monotonic()
        return all(now - reported < self._timeout for reported in self._reported.values())

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._reported[connection] = time.monotonic()
        self._selector.register(connection, selectors.EVENT_READ)
        ACTIVE_MARKER.mkdir(exist_ok=True)

    def _receive(self, connection: socket.socket) -> bool:
        """Take a client's report; False when it went without taking leave."""
        try:
            data = connection.recv(32)
        except ConnectionError:
            data = b""
        if data:
            self._reported[connection] = time.monotonic()
            if _GOODBYE in data:
                self._said_goodbye.add(connection)
            return True
        self._selector.unregister(connection)
        connection.close()
        del self._reported[connection]
        if not self._reported:
            with contextlib.suppress(FileNotFoundError):
                ACTIVE_MARKER.rmdir()
        if connection in self._said_goodbye:
            self._said_goodbye.discard(connection)
            return True
        return False


def main() -> int:
    """Serve until stopped; on silence have the hypervisor reset this machine."""
    if not DEVICE.exists():
        os.mknod(DEVICE, stat.S_IFCHR | 0o600, _HARMLESS_DEVICE)
    SOCKET.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(SOCKET))
        SOCKET.chmod(0o600)
        listener.listen()
        signal.signal(signal.SIGTERM, _stop)
        multiplexer = Multiplexer(listener, machine.scaled(WATCHDOG_TIMEOUT_SECONDS))
        while multiplexer.run_once():
            pass
    sys.stderr.write("client watchdog expired - disable watchdog updates\n")
    machine.ask_hypervisor("machine.reset")
    return 0


def _stop(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler's signature
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
