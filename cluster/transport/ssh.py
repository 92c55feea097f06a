"""SSH to machines from the control machine: pinned host keys only, every wait bounded.

One :class:`Connection` serves all commands to one machine during one step, so that a full run opens few of them.
The caller's own SSH configuration and known_hosts are not read: what is trusted is what the configuration pins.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes.util
import os
from base64 import b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from cluster.errors import AdminError

# asyncssh looks for three optional libraries of algorithms, at each start with the compiler and the linker: some twenty
# processes. What every SSH server has comes from `cryptography`.
_find_library = ctypes.util.find_library
ctypes.util.find_library = lambda name: None  # noqa: ARG005
import asyncssh  # noqa: E402

ctypes.util.find_library = _find_library

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from cluster.contract import Machine

USER = "root"
PORT = 22
CONNECT_TIMEOUT_S = 10.0
RETRY_PAUSE_S = 0.5
KEEPALIVE_S = 5


@dataclass(frozen=True)
class Completed:
    """A remote command that ended by itself."""

    exit_code: int
    stdout: str
    stderr: str


class _PinnedHost(asyncssh.SSHClient):
    """Remembers the key that an untrusted host presented, for the error message."""

    presented: str | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        del host, addr, port
        self.presented = key.export_public_key().decode().strip()
        return False


class Connection:
    """An open SSH connection to one machine.

    Attributes:
        machine: which.
        is_announced: people have seen that this machine is waited for.
    """

    def __init__(self, machine: Machine, connection: asyncssh.SSHClientConnection) -> None:
        self.machine = machine
        self.is_announced = False
        self._connection = connection

    async def run(
        self,
        command: str,
        *,
        stdin: str = "",
        timeout_s: float,
        on_stderr: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run a command to its end, handing over each line of its stderr as it comes.

        Raises:
            AdminError: `ssh-timeout` after `timeout_s`, `host-unreachable` when the connection breaks meanwhile.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._run(command, stdin, on_stderr)
        except TimeoutError as error:
            raise AdminError(
                "ssh-timeout",
                f"a command on {self.machine.name} did not end in time",
                observed=f"`{command}` still running after {timeout_s:.0f} s",
                expected="an end within that time",
                fix=f"look at the machine: ssh {USER}@{self.machine.address}, then run the same command again",
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise _unreachable(self.machine, f"the connection broke: {error}") from error

    async def _run(self, command: str, stdin: str, on_stderr: Callable[[str], None] | None) -> Completed:
        process = await self._connection.create_process(command)
        try:
            # A command that asks for no input may have ended by now: its exit status shows how.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(stdin)
                process.stdin.write_eof()
            stdout, stderr = await asyncio.gather(process.stdout.read(), _lines(process.stderr, on_stderr))
            await process.wait_closed()
        finally:
            process.close()  # not as a context manager: that would wait for a command whose time is up
        if process.returncode is None:
            raise asyncssh.ConnectionLost("the command's exit status is missing")
        return Completed(process.returncode, stdout, stderr)


async def _lines(stream: asyncssh.SSHReader[str], on_line: Callable[[str], None] | None) -> str:
    lines = []
    async for line in stream:
        lines.append(line)
        if on_line and line:  # an end that comes while it waits is handed over as a line of nothing
            on_line(line.rstrip("\n"))
    return "".join(lines)


async def presented(address: str, *, port: int = PORT) -> str | None:
    """The host key that a machine presents, type and key; None without an answer. Nothing is sent that is worth anything."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            key = await asyncssh.get_server_host_key(address, port, config=None)
    except (OSError, TimeoutError, asyncssh.Error):
        return None
    return key.export_public_key().decode().strip() if key else None


@asynccontextmanager
async def connect(
    machine: Machine, private_key: str, *, port: int = PORT, timeout_s: float = CONNECT_TIMEOUT_S
) -> AsyncIterator[Connection]:
    """Connect as root with the given private key (PEM).

    A machine that does not answer yet is tried again until `timeout_s` has passed; a wrong key is not.

    Raises:
        AdminError: `host-unreachable`, `host-key-mismatch`, `ssh-auth-failed`, `ssh-key-invalid`.
    """
    keys = client_keys(private_key)
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(OSError),
            stop=stop_after_delay(timeout_s),
            wait=wait_fixed(RETRY_PAUSE_S),
            reraise=True,
        ):
            with attempt:
                connection = await _open(machine, keys, port, timeout_s)
    except OSError as error:
        raise _unreachable(machine, _reason(error, timeout_s)) from error
    async with connection:
        yield Connection(machine, connection)


async def _open(
    machine: Machine, keys: Sequence[asyncssh.SSHKeyPair], port: int, timeout_s: float
) -> asyncssh.SSHClientConnection:
    client = _PinnedHost()
    try:
        return await asyncssh.connect(
            machine.address,
            port=port,
            username=USER,
            client_factory=lambda: client,
            client_keys=keys,
            known_hosts=([asyncssh.import_public_key(machine.host_key)], [], []),
            agent_path=None,
            config=None,
            preferred_auth="publickey",
            connect_timeout=timeout_s,
            login_timeout=timeout_s,
            keepalive_interval=KEEPALIVE_S,
        )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise _mismatch(machine, client.presented) from error
    except asyncssh.PermissionDenied as error:
        raise _refused(machine, keys) from error
    except asyncssh.Error as error:
        # A machine that is going down or coming up closes connections half way: as good as no answer.
        raise ConnectionError(error.reason) from error


def client_keys(private_key: str) -> Sequence[asyncssh.SSHKeyPair]:
    """The key to authenticate with, from its text (PEM).

    Raises:
        AdminError: `ssh-key-invalid`.
    """
    try:
        return asyncssh.load_keypairs([asyncssh.import_private_key(private_key)])
    except (asyncssh.KeyImportError, ValueError) as error:
        raise AdminError(
            "ssh-key-invalid",
            "the configured SSH private key cannot be used",
            observed=str(error),
            expected="an unencrypted private key in OpenSSH or PEM form",
        ) from error


def _unreachable(machine: Machine, reason: str) -> AdminError:
    return AdminError(
        "host-unreachable",
        f"{machine.name} cannot be reached over SSH",
        observed=f"{machine.address}: {reason}",
        expected="an SSH server that answers",
        fix=(
            f"power {machine.name} on and check the way to it (ping {machine.address}), then run the same command again"
        ),
    )


def _reason(error: OSError, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.0f} s"
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


def _mismatch(machine: Machine, presented: str | None) -> AdminError:
    kind = machine.host_key.split()[0]
    return AdminError(
        "host-key-mismatch",
        f"{machine.name} is not the machine that the configuration pins",
        observed=f"{machine.address} presents {presented or f'no host key of type {kind}'}",
        expected=" ".join(machine.host_key.split()[:2]),
        fix=(
            f"find out why it differs (another machine at {machine.address}, or a reinstalled one); "
            "only when you know, put the new key into the configuration"
        ),
    )


def _refused(machine: Machine, keys: Sequence[asyncssh.SSHKeyPair]) -> AdminError:
    offered = ", ".join(fingerprint(key.public_data) for key in keys)
    return AdminError(
        "ssh-auth-failed",
        f"{machine.name} refuses the control machine's SSH key",
        observed=f"{USER}@{machine.address} refused {offered}",
        expected="a key that is in the machine's authorized_keys",
        fix=f"ssh-copy-id {USER}@{machine.address} with the right key, or correct credentials.sshPrivateKey",
    )


def fingerprint_of(host_key: str) -> str:
    """A host key's fingerprint, from its type and key."""
    return fingerprint(asyncssh.import_public_key(host_key).public_data)


def fingerprint(public_data: bytes) -> str:
    """A public key's fingerprint, as `ssh-keygen -l` prints it."""
    return "SHA256:" + b64encode(sha256(public_data).digest()).decode().rstrip("=")
