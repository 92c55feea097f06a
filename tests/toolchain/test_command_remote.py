"""command:remote:Command: which command runs when, and what becomes of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.sshd import running_sshd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import Sshd
    from tests.support.workspace import Workspace

PROGRAM = """
from pulumi_command import remote

command = remote.Command("command", **cfg("command"))
command.stdout.apply(lambda text: Path("known").write_text(text))
pulumi.export("stdout", command.stdout)
pulumi.export("stderr", command.stderr)
"""

CIPHERTEXT = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the commands of a test write that they ran."""
    path = tmp_path / "journal"
    path.touch()
    return path


def succeed(workspace: Workspace, **command: object) -> dict[str, Any]:
    run = workspace.up(PROGRAM, command=command)
    assert run.code == 0, run.output
    return workspace.outputs()


def test_life_of_a_command(workspace: Workspace, sshd: Sshd, journal: Path) -> None:
    base = {"connection": sshd.connection, "delete": f"echo delete >> {journal}"}

    first = succeed(workspace, **base, create=f"echo create >> {journal}; echo out; echo err >&2")
    assert first == {"stdout": "out", "stderr": "err"}
    succeed(workspace, **base, create=f"echo create >> {journal}; echo out; echo err >&2")
    assert journal.read_text() == "create\n", "unchanged inputs run nothing"

    changed = succeed(workspace, **base, create=f"echo changed >> {journal}; echo new")
    assert changed == {"stdout": "new", "stderr": ""}
    update = f"echo update >> {journal}; printf 'two\\nlines\\n\\n'"
    assert succeed(workspace, **base, create="exit 1", update=update)["stdout"] == "two\nlines\n"
    assert journal.read_text() == "create\nchanged\nupdate\n"

    assert workspace.destroy().code == 0
    assert journal.read_text() == "create\nchanged\nupdate\ndelete\n"
    assert "command" not in workspace.resources()


def test_a_command_without_create_runs_nothing(workspace: Workspace, sshd: Sshd) -> None:
    assert succeed(workspace, connection=sshd.connection, delete="true") == {"stdout": "", "stderr": ""}
    assert sshd.logins() == 0
    assert workspace.destroy().code == 0
    assert sshd.logins() == 1


def test_preview_and_refresh_never_connect(workspace: Workspace, sshd: Sshd) -> None:
    command = {"connection": sshd.connection, "create": "echo one"}
    known = workspace.directory / "known"

    assert workspace.preview(PROGRAM, command=command).steps()["command"] == ["create"]
    assert not known.exists(), "before the first run the output is unknown"
    assert sshd.logins() == 0

    succeed(workspace, **command)
    assert known.read_text() == "one"
    assert sshd.logins() == 1

    known.unlink()
    assert workspace.preview(PROGRAM, command=command).steps()["command"] == ["same"]
    assert known.read_text() == "one"

    known.unlink()
    changed = {**command, "create": "echo two"}
    assert workspace.preview(PROGRAM, command=changed).steps()["command"] == ["update"]
    assert not known.exists(), "before a re-run the output is unknown"

    assert workspace.refresh().code == 0
    assert workspace.outputs()["stdout"] == "one"
    assert workspace.preview(PROGRAM, command=command).steps()["command"] == ["same"]
    assert sshd.logins() == 1


UNKNOWN = """
from pulumi_command import remote

source = remote.Command("source", connection=cfg("connection"), create=cfg("create"))
connection = {**cfg("connection"), "host": source.stdout}
command = remote.Command("command", connection=connection, create="true", triggers=[source.stdout])
copy = remote.CopyToRemote(
    "copy", connection=connection, source=source.stdout.apply(pulumi.StringAsset), remote_path=cfg("path")
)
"""


def test_inputs_that_are_unknown_at_preview(workspace: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    values = {"connection": sshd.connection, "path": str(path)}
    assert workspace.preview(UNKNOWN, **values, create="echo 127.0.0.1").code == 0
    assert workspace.up(UNKNOWN, **values, create="echo 127.0.0.1").code == 0
    preview = workspace.preview(UNKNOWN, **values, create="echo localhost")
    assert preview.code == 0, preview.output
    assert preview.steps()["copy"] == ["update"]
    assert workspace.up(UNKNOWN, **values, create="echo localhost").code == 0
    assert path.read_text() == "localhost"


def test_triggers_replace_even_if_there_is_an_update(workspace: Workspace, sshd: Sshd, journal: Path) -> None:
    command = {
        "connection": sshd.connection,
        **{step: f"echo {step} >> {journal}" for step in ("create", "update", "delete")},
    }
    succeed(workspace, **command, triggers=["a", {"deep": 1}])
    assert workspace.up(PROGRAM, command={**command, "triggers": ["a", {"deep": 1}]}).steps()["command"] == ["same"]

    run = workspace.up(PROGRAM, command={**command, "triggers": ["a", {"deep": 2}]})

    assert run.steps()["command"] == ["create-replacement", "replace", "delete-replaced"]
    assert journal.read_text() == "create\ncreate\ndelete\n", "the new one is made before the old one goes"


def test_failed_create_leaves_no_state(workspace: Workspace, sshd: Sshd, journal: Path) -> None:
    failing = {
        "connection": sshd.connection,
        "create": 'echo "seen"; echo "reason" >&2; exit 3',
        "delete": f"echo delete >> {journal}",
    }
    run = workspace.up(PROGRAM, command=failing)

    assert run.code != 0
    message = "\n".join(run.messages("command"))
    assert "Process exited with status 3" in message
    assert r'running "echo \"seen\"; echo \"reason\" >&2; exit 3"' in message
    assert "seen" in message
    assert "reason" in message
    assert "command" not in workspace.resources()
    assert workspace.destroy().code == 0
    assert journal.read_text() == ""


def test_failed_update_keeps_the_old_state_and_is_tried_again(workspace: Workspace, sshd: Sshd, journal: Path) -> None:
    succeed(workspace, connection=sshd.connection, create="echo good")
    update = f"echo update >> {journal}; test $(wc -l < {journal}) -gt 1"

    assert workspace.up(PROGRAM, command={"connection": sshd.connection, "create": "x", "update": update}).code != 0
    state = workspace.resources()["command"]
    assert (state["inputs"]["create"], state["outputs"]["stdout"]) == ("echo good", "good")

    succeed(workspace, connection=sshd.connection, create="x", update=update)
    assert journal.read_text() == "update\nupdate\n"


def test_failed_delete_keeps_the_resource(workspace: Workspace, sshd: Sshd) -> None:
    succeed(workspace, connection=sshd.connection, create="true", delete="exit 4")
    run = workspace.destroy()
    assert run.code != 0
    assert "status 4" in run.output
    assert "command" in workspace.resources()


SEVERAL = """
from pulumi_command import remote

for name, given in cfg("commands").items():
    command = remote.Command(name, connection=cfg("connection"), **given)
    pulumi.export(name, [command.stdout, command.stderr])
"""


def test_what_goes_in_and_what_comes_out(workspace: Workspace, sshd: Sshd) -> None:
    commands = {
        "reads": {"create": "cat", "stdin": "a\nb"},
        # More than the server's window (2 MiB), so that the client is still sending when the command ends.
        "need_not_read": {"create": "echo done", "stdin": "x" * (6 << 20)},
        "no_utf8_loses_no_state": {"create": r"printf 'a\377b\n'"},
    }
    run = workspace.up(SEVERAL, connection=sshd.connection, commands=commands)
    assert run.code == 0, run.output
    assert workspace.outputs() == {
        "reads": ["a\nb", ""],
        "need_not_read": ["done", ""],
        "no_utf8_loses_no_state": ["a\ufffdb", ""],
    }


def test_environment_that_the_server_accepts(workspace: Workspace, tmp_path: Path) -> None:
    with running_sshd(tmp_path / "lenient", accept_env=["GREETING", "NAME"]) as server:
        outputs = succeed(
            workspace,
            connection=server.connection,
            create='echo "$GREETING $NAME"',
            environment={"GREETING": "hello", "NAME": "you"},
        )
    assert outputs["stdout"] == "hello you"


def test_environment_that_the_server_refuses_is_an_error(workspace: Workspace, sshd: Sshd, journal: Path) -> None:
    run = workspace.up(
        PROGRAM,
        command={"connection": sshd.connection, "create": f"echo ran >> {journal}", "environment": {"NAME": "you"}},
    )
    assert run.code != 0
    assert "Unable to set 'NAME'" in run.output
    assert "AcceptEnv" in run.output
    assert journal.read_text() == ""


UPDATE = 'echo "out=$PULUMI_COMMAND_STDOUT err=$PULUMI_COMMAND_STDERR"'


def test_previous_output_reaches_update_and_delete(workspace: Workspace, tmp_path: Path, journal: Path) -> None:
    with running_sshd(tmp_path / "lenient", accept_env=["PULUMI_COMMAND_*"]) as server:
        base = {"connection": server.connection, "create": "echo 1; echo 2 >&2"}
        succeed(workspace, **base)
        assert succeed(workspace, **base, update=UPDATE)["stdout"] == "out=1 err=2"
        succeed(workspace, **base, update="echo 3", delete=f'echo "$PULUMI_COMMAND_STDOUT" >> {journal}')
        assert workspace.destroy().code == 0
    assert journal.read_text() == "3\n"


def test_refused_previous_output_is_only_a_warning(workspace: Workspace, sshd: Sshd) -> None:
    adding = {"asked": None, "not_asked": False}
    given = {name: {"create": "echo 1; echo 2 >&2", "add_previous_output_in_env": add} for name, add in adding.items()}
    assert workspace.up(SEVERAL, connection=sshd.connection, commands=given).code == 0

    updated = {name: {**command, "update": UPDATE} for name, command in given.items()}
    run = workspace.up(SEVERAL, connection=sshd.connection, commands=updated)

    assert run.code == 0
    for name, add in adding.items():
        assert workspace.outputs()[name] == ["out= err=", ""]
        messages = "\n".join(run.messages(name))
        for variable in ("PULUMI_COMMAND_STDOUT", "PULUMI_COMMAND_STDERR"):
            assert (f"Unable to set '{variable}'" in messages) is (add is None)


BOTH = """
from pulumi_command import local, remote

for name, command in (
    ("remote", remote.Command("remote", connection=cfg("connection"), **cfg("command"))),
    ("local", local.Command("local", **cfg("command"))),
):
    pulumi.export(name, command.stdout)
"""


def test_previous_output_too_long_for_a_variable_is_left_out(workspace: Workspace, sshd: Sshd) -> None:
    command = {"create": r"head -c 300000 /dev/zero | tr '\0' x", "logging": "none"}
    assert workspace.up(BOTH, connection=sshd.connection, command=command).code == 0
    run = workspace.up(BOTH, connection=sshd.connection, command={**command, "update": "echo updated"})
    assert run.code == 0, run.output
    assert workspace.outputs() == {"remote": "updated", "local": "updated"}
    for name in ("remote", "local"):
        assert any("'PULUMI_COMMAND_STDOUT' is not set" in m for m in run.messages(name))


def test_a_failure_after_much_output_is_reported(workspace: Workspace, sshd: Sshd) -> None:
    command = {"create": r"head -c 20000000 /dev/zero | tr '\0' x; echo; echo reason; exit 3", "logging": "none"}
    run = workspace.up(BOTH, connection=sshd.connection, command=command)
    assert run.code != 0
    for name in ("remote", "local"):
        message = "\n".join(run.messages(name))
        assert "status 3" in message
        assert "bytes before this left out" in message
        assert message.rstrip().endswith("reason")


SECRETS = """
from pulumi_command import remote

remote.Command("plain", connection=cfg("connection"), create="cat", stdin="open")
remote.Command(
    "secret",
    connection=cfg("connection"),
    create=pulumi.Output.secret("cat # hidden-create"),
    stdin=pulumi.Output.secret("hidden-stdin"),
    logging=remote.Logging.NONE,
    opts=pulumi.ResourceOptions(additional_secret_outputs=["stdout"]),
)
"""


def test_secrets_stay_secret_in_inputs_and_outputs(workspace: Workspace, sshd: Sshd) -> None:
    assert workspace.up(SECRETS, connection=sshd.connection).code == 0
    resources = workspace.resources()
    plain, secret = resources["plain"], resources["secret"]
    for side in ("inputs", "outputs"):
        assert plain[side]["connection"].items() >= CIPHERTEXT.items()
        assert (plain[side]["create"], plain[side]["stdin"]) == ("cat", "open")
        for name in ("connection", "create", "stdin"):
            assert secret[side][name].items() >= CIPHERTEXT.items(), name
    assert plain["outputs"]["stdout"] == "open"
    assert secret["outputs"]["stdout"].items() >= CIPHERTEXT.items()
