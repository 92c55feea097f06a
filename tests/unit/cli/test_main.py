"""How the command line ends: what stops it has a name and a next step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from cli import chronicle, description, main
from cli.rolling import commands
from cli.run_report import writing
from cli.status import command as status_command
from cli.up import Result
from cluster.errors import AdminError
from tools import attended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMANDS = ("up", "adopt", "preview", "status", "down")


@pytest.fixture
def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Calls a command; gives its exit code, and what it said on standard output and on standard error."""

    monkeypatch.setattr(writing, "DIRECTORY", tmp_path)

    def called(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(attended, "interrupt_once", lambda: None)
        monkeypatch.setattr(sys, "argv", ["cli", *words])
        with pytest.raises(SystemExit) as end:
            main.main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return called


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def differs(*_: object, **__: object) -> None:
    raise AdminError("not-as-described", "the cluster of stack dev is not as described", observed="1 finding")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_interrupted_says_so_and_what_to_do(
    command: str, monkeypatch: pytest.MonkeyPatch, ended: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setattr(description, "refuse_bad", interrupted)
    code, _, said = ended(command)
    assert code == 130
    assert said.startswith("\nerror[run-interrupted]: the run was interrupted\n  next: run the same command again")


@pytest.mark.parametrize(
    ("does", "code", "name"), [(interrupted, 130, "run-interrupted"), (differs, 1, "not-as-described")]
)
def test_a_live_status_that_fails_has_a_name(
    does: Callable[..., None],
    code: int,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    ended: Callable[..., tuple[int, str, str]],
) -> None:
    monkeypatch.setattr(description, "refuse_bad", lambda _stack: None)
    monkeypatch.setattr(status_command, "status", does)
    monkeypatch.setattr("cli.up.up", lambda *_, **__: None)
    for words in (["adopt"], ["status"]):
        got, shown, said = ended(*words)
        assert got == code
        assert ("✗ Live status failed after" in shown) == (words == ["adopt"])
        assert said.startswith(f"\nerror[{name}]: ")
        assert "\n  next: " in said


def test_with_an_endpoint_a_stack_file_is_written_and_no_run_begins(
    monkeypatch: pytest.MonkeyPatch, ended: Callable[..., tuple[int, str, str]]
) -> None:
    called = []
    monkeypatch.setattr("cli.adopt.command.adopt", lambda *words, guests: called.append((*words, guests)))
    monkeypatch.setattr("cli.up.up", differs)
    given = ("--stack", "home", "--endpoint", "https://pve1:8006", "--fingerprint", "SHA256:x", "--guests")
    assert ended("adopt", *given)[0] == 0
    assert called == [("home", "https://pve1:8006", "SHA256:x", True)]


def test_another_end_has_its_own_code(ended: Callable[..., tuple[int, str, str]]) -> None:
    assert ended("--help")[0] == 0
    code, _, said = ended("no-such-command")
    assert code == 2
    assert "interrupted" not in said


def acts(*_: object, **__: object) -> Result:
    chronicle.current().acts.append(chronicle.Remark("proxmox01", "something was done"))
    return Result(changed=False, left=[])


@pytest.mark.parametrize(
    ("words", "leaves"),
    [
        (("up",), True),
        (("adopt",), True),
        (("replace", "--node", "pve3"), True),
        (("down",), True),
        (("reboot",), True),
        (("upgrade",), True),
        (("drain", "--node", "pve3"), False),
        (("status",), False),
    ],
)
def test_commands_that_change_much_leave_a_report_and_the_end_says_where(
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    ended: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    *,
    leaves: bool,
) -> None:
    monkeypatch.setattr(description, "refuse_bad", lambda _stack: None)
    monkeypatch.setattr("cli.replace.wait_for", lambda *_: None)
    for name in ("cli.up.up", "cli.down.down"):
        monkeypatch.setattr(name, acts)
    for command in ("reboot", "upgrade", "drain"):
        monkeypatch.setattr(commands, command, acts)
    monkeypatch.setattr(status_command, "status", acts)
    code, said, _ = ended(*words)
    assert code == 0
    found = sorted(path.name.partition("-")[2] for path in tmp_path.iterdir())
    assert found == ([f"dev-{words[0]}.{one}" for one in ("html", "json", "md")] if leaves else [])
    assert said.rstrip().endswith("(and .md, .json)") is leaves
