"""The NFS server's port: answers a client where the lab keeps an exported directory, if it may have it.

Protocol: the client sends `MOUNT /path`, the answer is `OK PLACE` (below the world's exports) or `DENIED`.
"""

from __future__ import annotations

import socketserver

from pvelab.nfs_server import exports

PORT = 2049


class Handler(socketserver.StreamRequestHandler):
    """One request."""

    timeout = 5

    def handle(self) -> None:
        """Answer it."""
        word, _, path = self.rfile.readline(4096).decode(errors="replace").strip().partition(" ")
        if word != "MOUNT":
            return  # somebody only looked whether the port is open
        address = self.client_address[0]
        allowed = any(export.path == path and export.allows(address) for export in exports.current())
        self.wfile.write(f"OK {exports.place(path)}\n".encode() if allowed else b"DENIED\n")


class Server(socketserver.ThreadingTCPServer):
    """Listens anew at once after a restart."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("", PORT), Handler) as server:
        server.serve_forever()
