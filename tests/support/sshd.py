"""A real OpenSSH server on the loopback, with keys of its own, for one test."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SSHD = "/usr/sbin/sshd"
PRIVILEGE_SEPARATION = Path("/run/sshd")
START_LIMIT = 10.0

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host_ed25519
HostKey {directory}/host_ecdsa
PidFile {directory}/pid
AuthorizedKeysFile {directory}/client.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
LogLevel VERBOSE
# What the user's own shell does at a login (and says, when many log in at once) is not under test.
SetEnv HOME={directory}
"""


@dataclass(frozen=True)
class Sshd:
    """A running server and what a client needs to log in there.

    Attributes:
        port: On 127.0.0.1.
        user: Who may log in: the user of the tests.
        private_key: The key that is let in, in OpenSSH's format.
        host_key: The server's ed25519 key as one line of authorized_keys. The server has an ECDSA key, too.
        log: What the server has logged.
        pid: Of the listening server.
    """

    port: int
    user: str
    private_key: str = field(repr=False)
    host_key: str
    log: Path
    pid: int

    @property
    def connection(self) -> dict[str, object]:
        """The input `connection` of the command package's Python SDK."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "private_key": self.private_key,
            "host_key": self.host_key,
        }

    def logins(self) -> int:
        """How many logins the server has accepted."""
        return self.log.read_text().count("Accepted publickey")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _make_keys(directory: Path, passphrase: str) -> None:
    for name, kind in (("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("client", "ed25519")):
        words = passphrase if name == "client" else ""
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", words, "-f", str(directory / name)], check=True)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                if probe.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"sshd does not listen on port {port}: {log.read_text()}")


@contextmanager
def running_sshd(
    directory: Path, *, accept_env: Sequence[str] = (), passphrase: str = "", port: int | None = None
) -> Iterator[Sshd]:
    """Run a server that keeps its files in directory and accepts the environment variables of accept_env.

    The server that runs next in the same directory has the same keys.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    port = port or free_port()
    if not (directory / "client").exists():
        _make_keys(directory, passphrase)
    private_key, host_key = ((directory / name).read_text() for name in ("client", "host_ed25519.pub"))
    config = directory / "sshd_config"
    config.write_text(CONFIG.format(port=port, directory=directory) + "".join(f"AcceptEnv {v}\n" for v in accept_env))
    log = directory / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=sink)
    try:
        _wait_until_listening(process, port, log)
        yield Sshd(port, getpass.getuser(), private_key, host_key, log, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=START_LIMIT)
