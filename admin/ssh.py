"""SSH to machines from the administrator's place: pinned host keys only, every wait bounded.

One :class:`Connection` serves all commands to one machine during one step, so that a full run opens few of them.
The caller's own SSH configuration and known_hosts are not read: what is trusted is what the configuration pins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from admin.errors import AdminError

CONNECT_TIMEOUT_S = 10.0
RETRY_PAUSE_S = 0.5
KEEPALIVE_S = 5


@dataclass(frozen=True)
class Host:
    """A machine as it is reached over SSH."""

    name: str
    address: str
    host_key: str  # public line that the machine must present, "ssh-ed25519 AAAA…"
    user: str = "root"
    port: int = 22


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
    """An open SSH connection to one machine."""

    def __init__(self, host: Host, connection: asyncssh.SSHClientConnection) -> None:
        self.host = host
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
                f"a command on {self.host.name} did not end in time",
                observed=f"`{command}` still running after {timeout_s:.0f} s",
                expected="an end within that time",
                next_step=f"look at the machine: ssh {self.host.user}@{self.host.address}, then run the same command again",
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise unreachable(self.host, f"the connection broke: {error}") from error

    async def _run(self, command: str, stdin: str, on_stderr: Callable[[str], None] | None) -> Completed:
        async with self._connection.create_process(command) as process:
            process.stdin.write(stdin)
            process.stdin.write_eof()
            stdout, stderr = await asyncio.gather(process.stdout.read(), _lines(process.stderr, on_stderr))
            await process.wait_closed()
        if process.returncode is None:
            raise asyncssh.ConnectionLost("no exit status")
        return Completed(process.returncode, stdout, stderr)


async def _lines(stream: asyncssh.SSHReader[str], on_line: Callable[[str], None] | None) -> str:
    lines = []
    async for line in stream:
        lines.append(line)
        if on_line:
            on_line(line.rstrip("\n"))
    return "".join(lines)


@asynccontextmanager
async def connect(
    host: Host, private_key: str | None, *, timeout_s: float = CONNECT_TIMEOUT_S
) -> AsyncIterator[Connection]:
    """Connect with the given private key (PEM), or with the keys of the SSH agent.

    A machine that does not answer yet is tried again until `timeout_s` has passed; a wrong key is not.

    Raises:
        AdminError: `host-unreachable`, `host-key-mismatch`, `ssh-auth-failed`, `ssh-key-invalid`.
    """
    keys = await client_keys(private_key)
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(OSError),
            stop=stop_after_delay(timeout_s),
            wait=wait_fixed(RETRY_PAUSE_S),
            reraise=True,
        ):
            with attempt:
                connection = await _open(host, keys, timeout_s)
    except OSError as error:
        raise unreachable(host, _reason(error, timeout_s)) from error
    async with connection:
        yield Connection(host, connection)


async def _open(host: Host, keys: list[asyncssh.SSHKeyPair], timeout_s: float) -> asyncssh.SSHClientConnection:
    client = _PinnedHost()
    try:
        return await asyncssh.connect(
            host.address,
            port=host.port,
            username=host.user,
            client_factory=lambda: client,
            client_keys=keys,
            known_hosts=([asyncssh.import_public_key(host.host_key)], [], []),
            agent_path=None,
            config=None,
            preferred_auth="publickey",
            connect_timeout=timeout_s,
            login_timeout=timeout_s,
            keepalive_interval=KEEPALIVE_S,
        )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise _mismatch(host, client.presented) from error
    except asyncssh.PermissionDenied as error:
        raise _refused(host, keys) from error
    except asyncssh.Error as error:
        # A machine that is going down or coming up closes connections half way: as good as no answer.
        raise ConnectionError(error.reason) from error


async def client_keys(private_key: str | None) -> list[asyncssh.SSHKeyPair]:
    """The keys to authenticate with: the given one (PEM), else those of the SSH agent."""
    if private_key is not None:
        try:
            return asyncssh.load_keypairs([asyncssh.import_private_key(private_key)])
        except (asyncssh.KeyImportError, ValueError) as error:
            raise AdminError(
                "ssh-key-invalid",
                "the configured SSH private key cannot be used",
                observed=str(error),
                expected="an unencrypted private key in OpenSSH or PEM form",
                next_step="set credentials.sshPrivateKey to such a key, or leave it out and load yours into ssh-agent",
            ) from error
    try:
        async with asyncssh.connect_agent() as agent:
            return list(await agent.get_keys())
    except (OSError, ValueError):
        return []


def unreachable(host: Host, reason: str) -> AdminError:
    """Nobody answers at the machine's SSH port."""
    return AdminError(
        "host-unreachable",
        f"{host.name} cannot be reached over SSH",
        observed=f"{host.address} port {host.port}: {reason}",
        expected="an SSH server that answers",
        next_step=f"power {host.name} on and check the way to it (ping {host.address}), then run the same command again",
    )


def _reason(error: OSError, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.0f} s"
    return error.strerror or str(error) or type(error).__name__


def _mismatch(host: Host, presented: str | None) -> AdminError:
    pinned_type = host.host_key.split()[0]
    observed = f"{host.address} presents {presented}" if presented else f"{host.address} has no {pinned_type} host key"
    return AdminError(
        "host-key-mismatch",
        f"{host.name} is not the machine that the configuration pins",
        observed=observed,
        expected=" ".join(host.host_key.split()[:2]),
        next_step=(
            f"find out why it differs (another machine at {host.address}, or a reinstalled one); "
            "only when you know, put the new key into the configuration"
        ),
    )


def _refused(host: Host, keys: list[asyncssh.SSHKeyPair]) -> AdminError:
    offered = (
        ", ".join(asyncssh.import_public_key(key.public_data).get_fingerprint() for key in keys) or "no key at all"
    )
    return AdminError(
        "ssh-auth-failed",
        f"{host.name} refuses the administrator's SSH key",
        observed=f"{host.user}@{host.address} refused {offered}",
        expected="a key that is in the machine's authorized_keys",
        next_step=(
            f"ssh-copy-id {host.user}@{host.address} with the right key, "
            "or correct credentials.sshPrivateKey (or the keys in your agent)"
        ),
    )
