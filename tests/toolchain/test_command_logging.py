"""What a command prints is logged while it runs, and only what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.toolchain.waiting import wait_for_message

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Workspace

ONE = """
from pulumi_command import remote

remote.Command("command", connection=cfg("connection"), create=cfg("create"))
"""

MODES = """
from pulumi_command import local, remote

for mode in (None, "stdout", "stderr", "stdoutAndStderr", "none"):
    common = {"create": "echo to-stdout; echo to-stderr >&2", "logging": mode}
    command = remote.Command(f"remote-{mode}", connection=cfg("connection"), **common)
    pulumi.export(f"remote-{mode}", [command.stdout, command.stderr])
    command = local.Command(f"local-{mode}", **common)
    pulumi.export(f"local-{mode}", [command.stdout, command.stderr])
"""

LONG = """
from pulumi_command import local, remote

create = "head -c 1000000 /dev/zero | tr '\\\\0' x; echo; echo end"
pulumi.export("remote", remote.Command("remote", connection=cfg("connection"), create=create).stdout)
pulumi.export("local", local.Command("local", create=create).stdout)
"""


def test_lines_are_logged_while_the_command_runs(workspace: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    # The command ends only after its first line was seen in the log, so a log written at the end fails.
    create = f"echo first; for i in $(seq 600); do test -e {gate} && exit; sleep 0.1; done; exit 1"
    process = workspace.start_up(ONE, connection=sshd.connection, create=create)
    wait_for_message(workspace, process, "first")
    gate.touch()
    assert workspace.finish(process).code == 0


def test_only_the_chosen_streams_are_logged(workspace: Workspace, sshd: Sshd) -> None:
    run = workspace.up(MODES, connection=sshd.connection)
    assert run.code == 0, run.output

    logged = {
        name: sorted(m for m in run.messages(name) if m.startswith("to-"))
        for name in (f"{where}-{mode}" for where in ("remote", "local") for mode in modes())
    }
    for where in ("remote", "local"):
        assert logged[f"{where}-None"] == ["to-stderr", "to-stdout"]
        assert logged[f"{where}-stdoutAndStderr"] == ["to-stderr", "to-stdout"]
        assert logged[f"{where}-stdout"] == ["to-stdout"]
        assert logged[f"{where}-stderr"] == ["to-stderr"]
        assert logged[f"{where}-none"] == []
    assert set(map(tuple, workspace.outputs().values())) == {("to-stdout", "to-stderr")}


def modes() -> list[str]:
    return ["None", "stdout", "stderr", "stdoutAndStderr", "none"]


def test_a_line_of_a_megabyte_neither_hangs_nor_is_lost(workspace: Workspace, sshd: Sshd) -> None:
    run = workspace.up(LONG, connection=sshd.connection)
    assert run.code == 0, run.output
    for name in ("remote", "local"):
        assert workspace.outputs()[name] == "x" * 1_000_000 + "\nend"
        messages = run.messages(name)
        assert "".join(m for m in messages if m.startswith("x")) == "x" * 1_000_000
        assert messages[-1] == "end"
