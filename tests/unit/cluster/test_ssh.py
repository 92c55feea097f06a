"""The administrator's SSH client against a real OpenSSH server on the loopback."""

from __future__ import annotations

import asyncio
import getpass
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import asyncssh
import pytest

from cluster.contract import Machine
from cluster.errors import AdminError
from cluster.transport import ssh
from tests.support.sshd import Sshd, free_port, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    monkeypatch.setattr(ssh, "USER", getpass.getuser())
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with running_sshd(tmp_path / "sshd") as server:
        yield server


def machine(server: Sshd, host_key: str | None = None) -> Machine:
    return Machine("proxmox01", "127.0.0.1", host_key or server.host_key)


def run(server: Sshd, command: str, *, stdin: str = "", timeout_s: float = 20, key: str | None = None) -> ssh.Completed:
    async def call() -> ssh.Completed:
        async with ssh.connect(machine(server), key or server.private_key, port=server.port) as connection:
            return await connection.run(command, stdin=stdin, timeout_s=timeout_s)

    return asyncio.run(call())


def failure(target: Machine, key: str, port: int, timeout_s: float = 5) -> AdminError:
    async def call() -> None:
        async with ssh.connect(target, key, port=port, timeout_s=timeout_s):
            pass

    with pytest.raises(AdminError) as caught:
        asyncio.run(call())
    return caught.value


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def private(key: asyncssh.SSHKey) -> str:
    return key.export_private_key().decode()


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def test_a_command_gets_its_input_and_its_output_and_exit_code_come_back(sshd: Sshd) -> None:
    done = run(sshd, "cat; echo warned >&2; exit 3", stdin="wanted state")
    assert done == ssh.Completed(3, "wanted state", "warned\n")


def test_the_host_key_that_is_presented_is_seen_without_a_login(sshd: Sshd) -> None:
    presented = asyncio.run(ssh.presented("127.0.0.1", port=sshd.port))
    assert presented == " ".join(sshd.host_key.split()[:2])
    assert ssh.fingerprint_of(presented) == ssh.fingerprint(asyncssh.import_public_key(sshd.host_key).public_data)
    assert sshd.logins() == 0
    assert run(sshd, "true").exit_code == 0
    assert sshd.logins() == 1  # the log would show one


def test_where_nobody_answers_no_host_key_is_presented() -> None:
    assert asyncio.run(ssh.presented("127.0.0.1", port=free_port())) is None


def test_stderr_arrives_while_the_command_still_runs(sshd: Sshd) -> None:
    seen: list[str] = []

    async def call() -> None:
        async with ssh.connect(machine(sshd), sshd.private_key, port=sshd.port) as connection:
            arrived = asyncio.Event()

            def on_stderr(line: str) -> None:
                seen.append(line)
                arrived.set()

            running = asyncio.create_task(
                connection.run("echo first >&2; cat /dev/fd/3 3<&0", timeout_s=20, on_stderr=on_stderr)
            )
            await asyncio.wait_for(arrived.wait(), 10)
            assert seen == ["first"]
            await running

    asyncio.run(call())


def test_several_commands_share_one_login(sshd: Sshd) -> None:
    async def call() -> None:
        async with ssh.connect(machine(sshd), sshd.private_key, port=sshd.port) as connection:
            await asyncio.gather(*(connection.run("true", timeout_s=20) for _ in range(3)))

    asyncio.run(call())
    assert sshd.logins() == 1


def test_a_command_that_ends_before_its_input_comes_is_not_a_broken_connection(sshd: Sshd) -> None:
    async def call() -> list[ssh.Completed]:
        async with ssh.connect(machine(sshd), sshd.private_key, port=sshd.port) as connection:
            running = (connection.run("exit 7", stdin="nobody reads this", timeout_s=20) for _ in range(10))
            return await asyncio.gather(*running)

    for _ in range(3):
        assert asyncio.run(call()) == [ssh.Completed(7, "", "")] * 10


def test_a_command_that_does_not_end_is_given_up(sshd: Sshd) -> None:
    with pytest.raises(AdminError) as caught:
        run(sshd, "sleep 600", timeout_s=0.5)
    assert caught.value.code == "ssh-timeout"
    assert "sleep 600" in caught.value.observed


def test_a_connection_that_breaks_meanwhile_is_named(sshd: Sshd) -> None:
    with pytest.raises(AdminError) as caught:
        run(sshd, "kill -9 $PPID; sleep 5")
    assert caught.value.code == "host-unreachable"


def test_a_key_the_machine_does_not_know_is_refused_and_named_by_its_fingerprint(sshd: Sshd) -> None:
    stranger = new_key()
    error = failure(machine(sshd), private(stranger), sshd.port)
    assert error.code == "ssh-auth-failed"
    assert stranger.get_fingerprint() in error.observed


def test_another_host_key_of_the_pinned_type_is_refused_before_anything_is_sent(sshd: Sshd) -> None:
    pinned = public(new_key())
    error = failure(machine(sshd, pinned), sshd.private_key, sshd.port)
    assert error.code == "host-key-mismatch"
    assert sshd.host_key.split()[1] in error.observed
    assert error.expected == " ".join(pinned.split()[:2])
    assert sshd.logins() == 0


def test_a_machine_without_a_host_key_of_the_pinned_type_is_refused(sshd: Sshd) -> None:
    pinned = public(asyncssh.generate_private_key("ecdsa-sha2-nistp256"))
    error = failure(machine(sshd, pinned), sshd.private_key, sshd.port)
    assert error.code == "host-key-mismatch"
    assert "ecdsa-sha2-nistp256" in error.observed


def test_nobody_at_the_port_is_unreachable(sshd: Sshd) -> None:
    error = failure(machine(sshd), sshd.private_key, free_port(), timeout_s=0.1)
    assert error.code == "host-unreachable"
    assert "refused" in error.observed


def test_a_server_that_says_nothing_is_unreachable_within_the_time(sshd: Sshd) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = failure(machine(sshd), sshd.private_key, silent.getsockname()[1], timeout_s=0.3)
    assert error.code == "host-unreachable"


def test_a_machine_that_comes_up_meanwhile_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "USER", getpass.getuser())
    port = free_port()

    async def call(server_started: asyncio.Event) -> str:
        async with ssh.connect(Machine("late", "127.0.0.1", key), private_key, port=port, timeout_s=20) as connection:
            assert server_started.is_set()
            return (await connection.run("echo up", timeout_s=20)).stdout

    async def scenario() -> str:
        started = asyncio.Event()
        waiting = asyncio.create_task(call(started))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        started.set()
        second = await asyncio.to_thread(running_again.__enter__)
        assert second.port == port
        return await waiting

    with running_sshd(tmp_path / "sshd", port=port) as first:
        key, private_key = first.host_key, first.private_key
    running_again = running_sshd(tmp_path / "sshd", port=port)
    monkeypatch.setattr("tests.support.sshd._make_keys", lambda *_: (private_key, key))
    try:
        assert asyncio.run(scenario()) == "up\n"
    finally:
        running_again.__exit__(None, None, None)


@pytest.mark.parametrize(
    "key", ["no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n-----END OPENSSH PRIVATE KEY-----\n"]
)
def test_a_key_that_is_none_is_named_before_connecting(sshd: Sshd, key: str) -> None:
    error = failure(machine(sshd), key, sshd.port)
    assert error.code == "ssh-key-invalid"
    assert error.observed


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "no answer within 7 s"),
        (ConnectionRefusedError(111, "x"), "Connection refused"),
        (ConnectionError("closed half way"), "closed half way"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_why_a_machine_is_unreachable_is_told(error: OSError, told: str) -> None:
    assert ssh._reason(error, 7.2) == told


STARTED = """
import ctypes.util, sys
before, started = ctypes.util.find_library, []
sys.addaudithook(lambda event, values: started.append(values[0]) if event == "subprocess.Popen" else None)
import {module}
print(len(started), ctypes.util.find_library is before)
"""


@pytest.mark.parametrize(("module", "seen"), [("cluster.transport.ssh", "0 True"), ("asyncssh", "[1-9][0-9]* True")])
def test_no_program_is_started_to_read_its_code(module: str, seen: str) -> None:
    words = [sys.executable, "-c", STARTED.format(module=module)]
    assert re.fullmatch(seen, subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
