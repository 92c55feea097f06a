"""Reads of tools by the resident process: they answer as the tool itself, also when that process is away or dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pvelab.cli import reading

from tests.support.api_node import STAND_INS, ApiNode, furnish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODE = """\
import sys
from pvelab.cli import reading
code = reading.asked(sys.argv[1], sys.argv[2:])
sys.exit(77 if code is None else code)
"""
NO_ANSWER = 77
READS = [
    ("pvesh", "get", "/version"),
    ("pvesh", "get", "/version", "--output-format", "json"),
    ("pvesh", "get", "/nodes/pve1/qemu/100/config"),
    ("pvesh", "get"),
    ("pvesm", "list", "local"),
    ("pveum", "user", "list", "--full", "1"),
    ("qm", "status", "four"),
]
WITHIN_S = 20


class Node:
    """A node without an API, and its resident process."""

    def __init__(self, root: Path) -> None:
        furnish(root, "pve1")
        self.api = ApiNode(root, "pve1", "127.0.0.1")
        self.place = root / "reads.sock"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(str(self.place))
        listening.listen()
        start = f"import os, runpy; os.dup2({listening.fileno()}, 3); runpy.run_module('pvelab.cli.resident', run_name='__main__')"
        self.process = subprocess.Popen(
            [sys.executable, "-c", start], env=self.api.environment, pass_fds=[listening.fileno()]
        )
        listening.close()

    def ask(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CODE, str(self.place), *words],
            env=self.api.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def forks(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"))
    yield node
    node.process.kill()
    node.process.wait()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_it_answers_as_the_tool_itself(node: Node, words: tuple[str, ...]) -> None:
    own = node.api.tool(*words)
    asked = node.ask(*words)
    assert (*asked.communicate(timeout=60), asked.returncode) == (own.stdout, own.stderr, own.returncode)


def test_a_read_ends_with_who_asked(node: Node) -> None:
    file = node.api.root / "etc/pve/storage.cfg"
    text = file.read_text()
    file.unlink()
    os.mkfifo(file)  # as a file of a pmxcfs that hangs
    try:
        asked = node.ask("pvesm", "status")
        assert eventually(lambda: len(node.forks()) == 1)
        asked.kill()
        asked.communicate()
        assert eventually(lambda: not node.forks())
    finally:
        file.unlink()
        file.write_text(text)


def test_one_that_is_killed_meanwhile_gave_no_answer(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / "reads.sock"))
    listening.listen()
    code = f"import sys; from pvelab.cli import reading; sys.exit(reading.asked({str(tmp_path / 'reads.sock')!r}, ['qm']) or {NO_ANSWER})"
    asked = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(STAND_INS)})
    connection, _ = listening.accept()
    connection.recv(100)
    connection.close()
    listening.close()
    assert asked.wait(60) == NO_ANSWER


def test_without_it_a_tool_does_its_work_itself(node: Node) -> None:
    assert not Path(reading.SOCKET).exists()
    own = node.api.tool("pvesh", "get", "/version")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(STAND_INS / "pvelab/cli/reading.py"), "pvesh", "get", "/version"],
        env=node.api.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == (own.stdout, 0)
    assert own.stdout
