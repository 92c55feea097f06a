"""How the command plugin finds, trusts and gives up a host."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.sshd import free_port, running_sshd
from tests.toolchain.waiting import wait_for_message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Run, Workspace

PROGRAM = """
from pulumi_command import remote

for name, connection in cfg("connections").items():
    command = remote.Command(name, connection=connection, create=cfg("create"))
    pulumi.export(name, command.stdout)
"""


def connect(workspace: Workspace, create: str = "echo reached", **connections: dict[str, Any]) -> Run:
    return workspace.up(PROGRAM, connections=connections, create=create)


def test_ways_to_log_in(workspace: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    plain = sshd.connection
    keyless = {name: plain[name] for name in ("host", "port", "user", "host_key")}
    with (
        running_sshd(tmp_path / "locked", passphrase="open sesame") as locked,
        running_sshd(tmp_path / "bastion") as bastion,
        agent(tmp_path, sshd.private_key) as socket_path,
    ):
        run = connect(
            workspace,
            key=plain,
            passphrase={**locked.connection, "private_key_password": "open sesame"},
            agent={**keyless, "agent_socket_path": str(socket_path)},
            unpinned={k: v for k, v in plain.items() if k != "host_key"},
            proxy={**plain, "proxy": bastion.connection},
            proxy_locked={**plain, "proxy": {**locked.connection, "private_key_password": "open sesame"}},
        )
        assert run.code == 0, run.output
        assert bastion.logins() == 1
        assert locked.logins() == 2
    assert set(workspace.outputs().values()) == {"reached"}
    assert sshd.logins() == 5


@contextmanager
def agent(directory: Path, private_key: str) -> Iterator[Path]:
    """A real ssh-agent that holds the key."""
    path = directory / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        subprocess.run(
            ["ssh-add", "-q", "-"],
            input=private_key.encode(),
            env={**os.environ, "SSH_AUTH_SOCK": str(path)},
            check=True,
        )
        yield path
    finally:
        process.terminate()
        process.wait()


def test_agent_of_the_environment(workspace: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    keyless = {name: value for name, value in sshd.connection.items() if name != "private_key"}
    with agent(tmp_path, sshd.private_key) as socket_path:
        workspace.environment["SSH_AUTH_SOCK"] = str(socket_path)
        assert connect(workspace, key=keyless).code == 0
    # A key needs no agent, so one that is gone does not matter.
    assert connect(workspace, create="echo again", key=sshd.connection).code == 0


def test_refused_connections(workspace: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    sound = {**sshd.connection, "dial_error_limit": 0}
    keyless = {name: value for name, value in sound.items() if name != "private_key"}
    with running_sshd(tmp_path / "other") as other:
        others = other.connection
    reasons = {
        "others_host_key": ({**sound, "host_key": others["host_key"]}, "host key mismatch"),
        "others_key": ({**sound, "private_key": others["private_key"]}, "unable to authenticate"),
        "no_key": ({**sound, "private_key": "nonsense"}, "cannot read privateKey"),
        "no_host_key": ({**sound, "host_key": "nonsense"}, "cannot read hostKey"),
        "no_agent": ({**keyless, "agent_socket_path": "/nonexistent/agent"}, "agentSocketPath"),
    }
    connections = {name: connection for name, (connection, _) in reasons.items()}
    workspace.write_program(PROGRAM, {"connections": {**connections, "sound": sound}, "create": "echo reached"})
    # Otherwise the first refusal keeps the others from being tried.
    run = workspace.finish(workspace.start("up", "--yes", "--skip-preview", "--continue-on-error"))
    assert run.code != 0
    for name, (_, reason) in reasons.items():
        assert any(reason in message for message in run.messages(name)), (name, run.output)
    resources = workspace.resources()
    assert not reasons.keys() & resources.keys()
    assert "sound" in resources


def test_failed_dials_are_counted(workspace: Workspace, sshd: Sshd) -> None:
    nobody = {**sshd.connection, "port": free_port()}
    run = connect(workspace, two={**nobody, "dial_error_limit": 2}, none={**nobody, "dial_error_limit": 0})
    assert run.code != 0
    retries = [m for m in run.messages("two") if "retrying" in m]
    assert [m.split(" failed")[0] for m in retries] == ["Dial 1/2", "Dial 2/2"]
    assert any("after 2 failed attempts" in m and "connection refused" in m for m in run.messages("two"))
    assert not any("retrying" in m for m in run.messages("none"))


def test_unlimited_dials_wait_for_a_host_that_comes_up(workspace: Workspace, tmp_path: Path) -> None:
    port = free_port()
    with running_sshd(tmp_path / "sshd", port=port) as server:
        connection = {**server.connection, "dial_error_limit": -1}
    process = workspace.start_up(PROGRAM, connections={"late": connection}, create="echo reached")
    wait_for_message(workspace, process, "Dial 3/inf failed")
    # The same server again, with its keys, so that the pinned host key holds.
    with running_sshd(tmp_path / "sshd", port=port):
        assert workspace.finish(process).code == 0
    assert workspace.outputs() == {"late": "reached"}


def test_a_host_that_accepts_but_does_not_speak(workspace: Workspace, sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = {**sshd.connection, "port": mute.getsockname()[1], "per_dial_timeout": 1, "dial_error_limit": 1}
        run = connect(workspace, direct=silent, proxied={**silent, "proxy": sshd.connection})
    assert run.code != 0
    for name in ("direct", "proxied"):
        assert any("no SSH login at" in m and "within 1s" in m for m in run.messages(name)), name


def test_no_connection_outlives_its_command(workspace: Workspace, sshd: Sshd) -> None:
    # Both run in one plugin process, one after the other; the second counts the server's connections.
    program = """
from pulumi_command import remote

first = remote.Command("first", connection=cfg("connection"), create="true")
count = remote.Command("count", connection=cfg("connection"), create=cfg("count"), opts=pulumi.ResourceOptions(depends_on=first))
pulumi.export("connections", count.stdout)
"""
    children = f"/proc/{sshd.pid}/task/{sshd.pid}/children"
    # The server may still be reaping the first connection's process.
    count = f"for i in $(seq 50); do n=$(wc -w < {children}); test $n = 1 && break; sleep 0.1; done; echo $n"
    assert workspace.up(program, connection=sshd.connection, count=count).code == 0
    assert workspace.outputs() == {"connections": "1"}
    assert sshd.logins() == 2
