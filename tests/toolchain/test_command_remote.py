"""command:remote:Command, by the real engine, against a real sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Workspace

PROGRAM = """
from pulumi_command import remote

command = remote.Command("command", **cfg("command"))
pulumi.export("stdout", command.stdout)
pulumi.export("stderr", command.stderr)
"""


def test_create_runs_once_and_gives_its_output(workspace: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = {"connection": sshd.connection, "create": f"echo ran >> {runs}; echo out; echo err >&2"}

    assert workspace.up(PROGRAM, command=command).code == 0
    again = workspace.up(PROGRAM, command=command)

    assert again.steps()["command"] == ["same"]
    assert workspace.outputs() == {"stdout": "out", "stderr": "err"}
    assert runs.read_text() == "ran\n"
