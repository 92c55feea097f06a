"""command:local:Command and command:local:run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.workspace import Workspace

PROGRAM = """
from pulumi_command import local

command = local.Command("command", **cfg("command"))
pulumi.export("stdout", command.stdout)
pulumi.export("stderr", command.stderr)
pulumi.export("assets", command.assets.apply(lambda found: {k: v.path for k, v in (found or {}).items()}))
pulumi.export("archive", command.archive.apply(lambda found: {k: v.path for k, v in found.assets.items()} if found else {}))
"""


def succeed(workspace: Workspace, **command: object) -> dict[str, Any]:
    run = workspace.up(PROGRAM, command=command)
    assert run.code == 0, run.output
    return workspace.outputs()


def test_life_of_a_command(workspace: Workspace, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    base = {"create": f"echo create >> {journal}; echo 1; echo 2 >&2"}
    assert succeed(workspace, **base).items() >= {"stdout": "1", "stderr": "2"}.items()
    succeed(workspace, **base)
    assert journal.read_text() == "create\n", "unchanged inputs run nothing"

    update = f'echo update "$PULUMI_COMMAND_STDOUT" "$PULUMI_COMMAND_STDERR" >> {journal}'
    succeed(workspace, **base, update=update)
    replaced = workspace.up(PROGRAM, command={**base, "triggers": [1], "delete": f"echo delete >> {journal}"})
    assert replaced.steps()["command"] == ["create-replacement", "replace", "delete-replaced"]
    assert workspace.destroy().code == 0
    assert journal.read_text() == "create\nupdate 1 2\ncreate\ndelete\n"


SETTINGS = "import os, sys; print(os.getcwd(), os.environ['NAME'], sys.stdin.read())"


def test_previous_output_can_be_kept_out(workspace: Workspace) -> None:
    base = {"create": "echo 1", "add_previous_output_in_env": False}
    succeed(workspace, **base)
    assert succeed(workspace, **base, update='echo "[$PULUMI_COMMAND_STDOUT]"')["stdout"] == "[]"


def test_failure_shows_code_and_output_and_leaves_no_state(workspace: Workspace) -> None:
    run = workspace.up(PROGRAM, command={"create": "echo seen; echo reason >&2; exit 3"})
    assert run.code != 0
    message = "\n".join(run.messages("command"))
    for part in ("exit status 3", 'running "echo seen; echo reason >&2; exit 3"', "seen", "reason"):
        assert part in message
    assert "command" not in workspace.resources()


def test_settings_and_what_files_are_collected(workspace: Workspace, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for file in ("assets/logos/logo.svg", "src/index.js", "src/secret.js"):
        (work / file).parent.mkdir(parents=True, exist_ok=True)
    outputs = succeed(
        workspace,
        create=f"{SETTINGS}; [open(name, 'w') for name in ('assets/logos/logo.svg', 'src/index.js', 'src/secret.js')]",
        interpreter=["python3", "-c"],
        dir=str(work),
        environment={"NAME": "you"},
        stdin="text",
        asset_paths=["assets/**", "src/**.js", "!**secret.*"],
        archive_paths=["src/*"],
    )
    assert outputs["stdout"] == f"{work} you text"
    assert outputs["assets"] == {p: f"{work}/{p}" for p in ("assets/logos/logo.svg", "src/index.js")}
    assert outputs["archive"] == {p: f"{work}/{p}" for p in ("src/index.js", "src/secret.js")}


RUN = """
from pulumi_command import local

result = local.run(command=f"echo run >> {cfg('journal')}; echo out; echo err >&2; touch found", asset_paths=["found"], dir=cfg("dir"))
pulumi.export("result", [result.stdout, result.stderr, result.command, sorted(result.assets)])
"""


def test_run_runs_each_time_the_program_does(workspace: Workspace, tmp_path: Path) -> None:
    journal, work = tmp_path / "journal", tmp_path / "work"
    work.mkdir()
    values = {"journal": str(journal), "dir": str(work)}
    assert workspace.preview(RUN, **values).code == 0
    assert workspace.up(RUN, **values).code == 0
    assert journal.read_text() == "run\nrun\n"
    stdout, stderr, command, assets = workspace.outputs()["result"]
    assert (stdout, stderr, assets) == ("out", "err", ["found"])
    assert command.startswith("echo run")


def test_a_failed_run_fails_the_program(workspace: Workspace) -> None:
    program = 'from pulumi_command import local\nlocal.run(command="echo reason; exit 3")\n'
    run = workspace.preview(program)
    assert run.code != 0
    assert "exit status 3" in run.output
    assert "reason" in run.output
