"""When a run leaves a report, in which files, and that a report never fails a run."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from cli import chronicle
from cli.chronicle import Remark
from cli.run_report import leaving, render, writing
from cluster.errors import AdminError
from tests.unit.cli.run_report.told import begun, changed, ended, engine_run
from tools.invoker import Invoker

if TYPE_CHECKING:
    from collections.abc import Callable

NO = AdminError("not-confirmed", "the answer was no")
SILENT = AdminError("host-unreachable", "proxmox01 does not answer", observed="no answer")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports are kept; it does not exist yet."""
    monkeypatch.setattr(writing, "DIRECTORY", tmp_path / "own" / "reports")
    return writing.DIRECTORY


def act(kept: chronicle.Chronicle) -> None:
    kept.acts.append(Remark("proxmox01", "rebooted"))


def change(kept: chronicle.Chronicle) -> None:
    kept.runs.append(engine_run((0.1, begun("update", "vm01-vm")), (0.2, ended("update", "vm01-vm"))))


def look(kept: chronicle.Chronicle) -> None:
    kept.runs.append(engine_run((0.1, begun("refresh", "vm01-vm")), (0.2, begun("same", "vm01-vm"))))


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def ends(does: Callable[[chronicle.Chronicle], None], error: BaseException | None) -> BaseException | None:
    """A command that does this, and how it ends."""

    def command() -> None:
        does(chronicle.current())
        if error is not None:
            raise error

    try:
        with leaving.report("dev", "up"):
            command()
    except BaseException as raised:  # noqa: BLE001 - an interruption is one of the ends
        return raised
    return None


CASES: dict[str, tuple[Callable[[chronicle.Chronicle], None], BaseException | None, bool]] = {
    "changed": (change, None, True),
    "a node was worked on": (act, None, True),
    "nothing changed": (look, None, False),
    "failed before anything": (look, SILENT, True),
    "failed in between": (change, SILENT, True),
    "the answer was no": (look, NO, False),
    "ended at the question": (look, typer.Abort(), False),
    "interrupted before anything": (look, KeyboardInterrupt(), False),
    "interrupted in between": (change, KeyboardInterrupt(), True),
    "an unexpected error": (look, RuntimeError("boom"), True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_changed_something_or_failed_leaves_a_report(
    directory: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    does, error, leaves = CASES[case]
    assert ends(does, error) is error
    found = files(directory)
    assert [Path(name).suffix for name in found] == ([".html", ".json", ".md"] if leaves else [])
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == (2 if leaves else 0)
    if leaves:
        assert f"Report: {directory / found[0]}" in said.out


def test_what_ended_a_run_is_in_its_report(directory: Path) -> None:
    with pytest.raises(AdminError), leaving.report("dev", "up"):
        raise SILENT
    kept = json.loads(next(directory.glob("*-dev-up.json")).read_text())
    assert kept["end"]["ok"] is False
    assert kept["end"]["code"] == "host-unreachable"
    assert kept["end"]["next"] == SILENT.fix
    for format_ in ("md", "html"):
        text = next(directory.glob(f"*.{format_}")).read_text()
        assert "proxmox01 does not answer" in text
        assert "power the machine on" in text


def test_nothing_is_kept_without_a_report() -> None:
    act(chronicle.current())
    assert chronicle.current().acts == []
    with chronicle.kept() as kept:
        act(chronicle.current())
    assert kept.acts == [Remark("proxmox01", "rebooted")]


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_person_reads_it(directory: Path, umask: int) -> None:
    directory.mkdir(parents=True, mode=0o755)  # an open one is closed
    before = os.umask(umask)
    try:
        leaving.written(changed(), "dev", "up", None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    assert len(files(directory)) == 3


def test_under_sudo_it_belongs_to_who_called(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Invoker(1234, 5678, "somebody", Path("/home/somebody"))
    given: list[tuple[str, int, int]] = []

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        given.append((Path(f"/proc/self/fd/{descriptor}").readlink().name.rpartition(".")[2], uid, gid))

    monkeypatch.setattr(Invoker, "current", lambda: person)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", fchown)
    leaving.written(changed(), "dev", "up", None)
    assert given == [("reports", 1234, 5678), *[("new", 1234, 5678)] * 3]
    given.clear()
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    leaving.written(changed(), "dev", "up", None)
    assert given == [], "it is theirs already"


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("at", "left"), [(1, 0), (2, 0), (3, 0), (4, 3)])
def test_a_disk_that_is_full_costs_a_warning_and_leaves_no_half(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: int, left: int
) -> None:
    writes = 0
    fdopen = os.fdopen

    def full(descriptor: int, mode: str, **options: str) -> object:
        nonlocal writes
        writes += 1
        stream = fdopen(descriptor, mode, **options)  # type: ignore[call-overload]
        if writes == at:

            def write(_text: str) -> None:
                stream.buffer.raw.write(b"ha")
                raise NO_ROOM

            monkeypatch.setattr(stream, "write", write, raising=False)
        return stream

    monkeypatch.setattr(os, "fdopen", full)
    with leaving.report("dev", "up"):
        change(chronicle.current())
    assert len(files(directory)) == left
    warned = "warning: the run's report cannot be written: No space left on device\n"
    assert capsys.readouterr().err == ("" if left else warned)


def test_a_place_that_cannot_be_written_costs_a_warning(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory.parent.mkdir()
    directory.touch()
    with pytest.raises(AdminError), leaving.report("dev", "up"):
        raise SILENT
    said = capsys.readouterr()
    assert said.err == "warning: the run's report cannot be written: File exists\n"
    assert "Report:" not in said.out


def test_a_mistake_in_the_report_costs_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_report: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(render, "html", broken)
    with leaving.report("dev", "up"):
        change(chronicle.current())
    assert capsys.readouterr().err == "warning: the run's report cannot be written: ZeroDivisionError()\n"


def test_a_directory_that_is_a_link_is_left_alone(directory: Path, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir(mode=0o755)
    directory.parent.mkdir()
    directory.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        leaving.written(changed(), "dev", "up", None)
    assert (files(elsewhere), stat.S_IMODE(elsewhere.stat().st_mode)) == ([], 0o755)


def test_a_link_in_its_place_is_replaced_and_not_followed(directory: Path, tmp_path: Path) -> None:
    directory.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    name = "20260921T141320Z-dev-up"
    (directory / f".{name}.md.new").symlink_to(precious)
    leaving.written(changed(), "dev", "up", None)
    assert files(directory) == [f"{name}.{one}" for one in ("html", "json", "md")]
    assert precious.read_text() == "mine"


def test_the_last_fifty_of_each_stack_are_kept(directory: Path) -> None:
    texts = dict.fromkeys(writing.FORMATS, "x")
    for second in range(writing.KEPT):
        writing.write(f"2026-11-28T17:30:{second:02}Z", "dev", "up", texts)
    others = [("dev-2", "up"), ("dev-up", "up"), ("home", "down")]
    for stack, command in others:
        writing.write("2026-01-01T00:00:00Z", stack, command, texts)
    (directory / "mine.html").touch()
    before = set(files(directory))
    writing.write("2026-11-28T18:00:00Z", "dev", "down", texts)
    gone, new = before - set(files(directory)), set(files(directory)) - before
    assert gone == {f"20261128T173000Z-dev-up.{one}" for one in writing.FORMATS}
    assert new == {f"20261128T180000Z-dev-down.{one}" for one in writing.FORMATS}


def test_two_in_the_same_second_are_both_kept(directory: Path) -> None:
    for text in ("first", "second"):
        writing.write("2026-11-28T17:30:59Z", "dev", "up", dict.fromkeys(writing.FORMATS, text))
    assert (directory / "20261128T173059Z-dev-up.html").read_text() == "first"
    assert (directory / "20261128T173059Z-dev-up.2.html").read_text() == "second"


def test_a_stack_name_does_not_lead_elsewhere(directory: Path) -> None:
    written = writing.write("2026-11-28T17:30:59Z", "../../x", "up", dict.fromkeys(writing.FORMATS, ""))
    assert written == directory / "20261128T173059Z-______x-up.html"
