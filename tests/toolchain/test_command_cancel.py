"""A run that is interrupted ends, whatever the other side does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.sshd import free_port
from tests.toolchain.waiting import wait_for_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sshd import Sshd
    from tests.support.workspace import Workspace

REMOTE = """
from pulumi_command import remote

timeouts = pulumi.CustomTimeouts(create=cfg("timeout"))
opts = pulumi.ResourceOptions(custom_timeouts=timeouts)
remote.Command("command", connection=cfg("connection"), create=cfg("create"), opts=opts)
"""

LOCAL = """
from pulumi_command import local

timeouts = pulumi.CustomTimeouts(create=cfg("timeout"))
local.Command("command", create=cfg("create"), opts=pulumi.ResourceOptions(custom_timeouts=timeouts))
"""


class Sleeper:
    """A command that ends long after Workspace.finish has given up, so a plugin that waits for it fails the test."""

    def __init__(self, directory: Path) -> None:
        self._pids = directory / "pids"
        # The child keeps the output open, as the programs do that a script starts.
        self.command = f"sleep 300 & echo $$ $! > {self._pids}; echo started; wait"

    def alive(self) -> list[int]:
        return [pid for pid in map(int, self._pids.read_text().split()) if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    sleeper = Sleeper(tmp_path)
    yield sleeper
    for pid in sleeper.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("program", [REMOTE, LOCAL])
def test_interrupt_during_a_command(workspace: Workspace, sshd: Sshd, sleeper: Sleeper, program: str) -> None:
    process = workspace.start_up(program, connection=sshd.connection, create=sleeper.command, timeout=None)
    wait_for_message(workspace, process, "started")
    assert len(sleeper.alive()) == 2
    process.send_signal(signal.SIGINT)
    run = workspace.finish(process)
    assert run.code != 0
    assert "context canceled" in run.output
    assert "command" not in workspace.resources()


@pytest.mark.parametrize("program", [REMOTE, LOCAL])
def test_custom_timeout_ends_a_command(workspace: Workspace, sshd: Sshd, sleeper: Sleeper, program: str) -> None:
    run = workspace.up(program, connection=sshd.connection, create=sleeper.command, timeout="2s")
    assert run.code != 0
    assert "deadline exceeded" in run.output
    assert "started" in run.output, "the error shows what the command had printed"
    if program is LOCAL:
        deadline = time.monotonic() + 10
        while sleeper.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sleeper.alive() == []


def test_interrupt_while_dialing(workspace: Workspace, sshd: Sshd) -> None:
    nobody = {**sshd.connection, "port": free_port(), "dial_error_limit": -1}
    process = workspace.start_up(REMOTE, connection=nobody, create="true", timeout=None)
    wait_for_message(workspace, process, "Dial 1/inf")
    process.send_signal(signal.SIGINT)
    run = workspace.finish(process)
    assert run.code != 0
    assert "gave up connecting" in run.output


def test_custom_timeout_ends_a_login_without_limits(workspace: Workspace, sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = {**sshd.connection, "port": mute.getsockname()[1], "per_dial_timeout": 0, "dial_error_limit": -1}
        run = workspace.up(REMOTE, connection=silent, create="true", timeout="1s")
    assert run.code != 0
    assert "gave up connecting" in run.output
