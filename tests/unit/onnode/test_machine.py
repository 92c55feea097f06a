"""The real machine: bounded commands, whole files, no secrets in what people see."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from onnode.errors import StepError
from onnode.system import own_api
from onnode.system.machine import ThisMachine, tail
from onnode.system.reader import Reader
from tests.support import processes
from tests.support.fake_machine import FakeMachine
from tests.support.tls import Authority, capturing


@pytest.fixture
def real(tmp_path: Path) -> ThisMachine:
    return ThisMachine(tmp_path)


def alive(pid: int) -> bool:
    try:
        state = (line for line in open(f"/proc/{pid}/status") if line.startswith("State:"))  # noqa: SIM115, PTH123
        return "zombie" not in next(state)
    except FileNotFoundError:
        return False


def test_a_command_gets_input_and_is_heard(real: ThisMachine) -> None:
    result = real.run(["sh", "-c", "cat; echo bad >&2; exit 3"], stdin="good\n")
    assert (result.code, result.out, result.err) == (3, "good\n", "bad\n")
    assert result.text == "good\nbad"


def test_a_hanging_command_ends_with_all_its_children(real: ThisMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnode.system.machine.KILL_GRACE_S", 0.5)
    result = real.run(["sh", "-c", "sleep 1000 & echo $!; trap '' TERM; wait; wait"], timeout_s=0.3)
    assert result.timed_out
    assert not alive(int(result.out))


def test_a_command_that_shrugs_off_term_is_killed(real: ThisMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnode.system.machine.KILL_GRACE_S", 0.3)
    argv = [
        sys.executable,
        "-uc",
        "import os,signal,time; signal.signal(15, signal.SIG_IGN); print(os.getpid()); time.sleep(99)",
    ]
    result = real.run(argv, timeout_s=1)
    assert result.timed_out
    assert not alive(int(result.out))


def test_a_child_that_escaped_does_not_hold_up_the_step(real: ThisMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnode.system.machine.KILL_GRACE_S", 0.3)
    result = real.run(["sh", "-c", "echo begun; setsid sleep 5 & sleep 99"], timeout_s=0.5)
    assert result.timed_out
    assert result.out == "begun\n"


def test_interruption_ends_the_command(real: ThisMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_args: object, **_keywords: object) -> None:
        raise StepError("interrupted", "now")

    pid_file = tmp_path / "pid"
    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen.communicate", interrupt)
        patched.setattr("onnode.system.machine._end", lambda process: pid_file.write_text(str(process.pid)))
        with pytest.raises(StepError):
            real.run(["sleep", "30"])
    os.kill(int(pid_file.read_text()), 9)


@pytest.mark.parametrize(
    ("argv", "code", "mentions"),
    [
        (["no-such-program-here"], "command-missing", "no-such-program-here is not installed"),
        (["sh", "-c", "echo why >&2; exit 4"], "command-failed", "exit 4: why"),
        (["sleep", "30"], "command-timeout", "`sleep 30` did not end"),
    ],
)
def test_a_command_that_must_succeed(real: ThisMachine, argv: list[str], code: str, mentions: str) -> None:
    with pytest.raises(StepError) as error:
        real.check(argv, timeout_s=0.3)
    assert error.value.code == code
    assert mentions in error.value.render()


def test_files_are_written_whole(real: ThisMachine, tmp_path: Path) -> None:
    real.write("/etc/new/file", "one", mode=0o600)
    assert real.read("/etc/new/file") == "one"
    real.write("/etc/new/file", "two")
    assert (tmp_path / "etc/new/file").stat().st_mode & 0o777 == 0o600, "keeps its mode"
    assert real.names("/etc/new") == ["file"], "nothing else is left"


def test_a_write_cut_off_leaves_the_old_file(real: ThisMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError("disk full")

    real.write("/file", "old")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="disk full"):
            real.write("/file", "new")
    assert real.read("/file") == "old"
    real.write("/file", "new")
    assert real.read("/file") == "new"


def test_what_is_not_there(real: ThisMachine) -> None:
    assert real.read("/nothing") is None
    assert real.names("/nothing") == []
    assert not real.exists("/nothing")
    real.remove("/nothing")
    real.remove_empty("/nothing")


def test_the_room_for_what_is_not_there_yet(real: ThisMachine, tmp_path: Path) -> None:
    room = shutil.disk_usage(tmp_path).free
    assert abs(real.free_bytes("/srv/nested/dev") - room) < room / 10
    assert real.free_bytes("/") > 0
    (tmp_path / "srv").symlink_to("/proc")
    assert real.free_bytes("/srv/nested") == 0, "that of the file system on which it would be"


def test_only_empty_directories_are_removed(real: ThisMachine, tmp_path: Path) -> None:
    real.write("/full/file", "x")
    (tmp_path / "empty").mkdir()
    real.remove_empty("/full")
    real.remove_empty("/empty")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["full"]


def test_directories_in_directories_are_empty_too(real: ThisMachine, tmp_path: Path) -> None:
    (tmp_path / "export" / "images" / "200").mkdir(parents=True)
    assert not real.holds_files("/export")
    real.write("/export/images/100/disk", "x")
    assert real.holds_files("/export")
    real.remove_empty("/export")
    assert (tmp_path / "export" / "images" / "100" / "disk").exists()
    assert not (tmp_path / "export" / "images" / "200").exists()
    real.remove("/export/images/100/disk")
    real.remove_empty("/export")
    assert not real.exists("/export")


def test_secrets_never_show(real: ThisMachine, capsys: pytest.CaptureFixture[str]) -> None:
    real.hide("top secret", "-----BEGIN KEY-----\nb3BlbnNzaC1rZXk\n")
    real.note("pvecm: wrong password 'top secret'\nb3BlbnNzaC1rZXk")
    shown = capsys.readouterr().err
    assert shown == "pvecm: wrong password '[secret]'\n[secret]\n"


def test_nobody_listens_any_more(real: ThisMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            heard.append(text)
            raise BrokenPipeError

    heard: list[str] = []
    monkeypatch.setattr(sys, "stderr", Gone())
    real.note("the program was killed, the step goes on")
    assert heard == ["the program was killed, the step goes on\n"]


def test_waiting_is_bounded(real: ThisMachine) -> None:
    asked = []
    assert real.wait_for(lambda: asked.append(1), 0.3) is None
    assert len(asked) > 1
    assert real.wait_for(lambda: "yes", 10) == "yes"


def test_a_machine_that_answers_late_is_asked_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, slept = FakeMachine(tmp_path), list[float]()
    monkeypatch.setattr(machine, "sleep", slept.append)
    took = iter([0.1, 1.5, 20, 0])

    def probe() -> bool:
        machine.seconds += next(took)
        return len(slept) == 3

    assert machine.wait_for(probe, 60)
    assert slept == [0.25, 1.5, 2.0]


def test_pve_files_are_read_from_outside_the_process(tmp_path: Path) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/",)

    (tmp_path / "conf").write_text("text")
    machine = Outside()
    assert machine.read(f"{tmp_path}/conf") == "text"
    assert machine.read(f"{tmp_path}/none") is None
    assert machine.names(str(tmp_path)) == ["conf"]
    assert machine.names(f"{tmp_path}/none") == []


class FindsNone(Reader):
    """Finds no file until `whole`, as FUSE does while one is replaced."""

    whole = False

    def file(self, path: str, timeout_s: float) -> bytes | None:
        return super().file(path, timeout_s) if type(self).whole else None


def test_whoever_replaces_a_pve_file_is_given_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/pve",)

        def sleep(self, seconds: float) -> None:
            assert 0 < seconds < 1
            FindsNone.whole = True  # as soon as somebody else may work

    (tmp_path / "pve").mkdir()
    (tmp_path / "pve/conf").write_text("text")
    monkeypatch.setattr("onnode.system.machine.Reader", FindsNone)
    monkeypatch.setattr(FindsNone, "whole", False)
    assert Outside().read(f"{tmp_path}/pve/none") is None, "what is not listed is missing at once"
    assert not FindsNone.whole
    assert Outside().read(f"{tmp_path}/pve/conf") == "text"
    assert FindsNone.whole, "the first look found none"


def _hung(machine: ThisMachine, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("onnode.system.machine.PVE_READ_S", 0.2)
        with pytest.raises(StepError) as error:
            machine.read(path)
    assert error.value.code == "pve-filesystem-hangs"


def test_a_hung_pve_is_an_error_in_bounded_time_and_can_be_read_when_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/",)

    os.mkfifo(tmp_path / "hangs")
    (tmp_path / "conf").write_text("text")
    machine = Outside()
    _hung(machine, f"{tmp_path}/hangs", monkeypatch)
    assert machine.read(f"{tmp_path}/conf") == "text"


def test_a_hung_pve_directory_is_an_error_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/",)

    monkeypatch.setattr("onnode.system.machine.PVE_READ_S", 0.2)
    monkeypatch.setattr("onnode.system.reader.PROGRAM", "import time; time.sleep(30)")
    with pytest.raises(StepError) as error:
        Outside().names(str(tmp_path))
    assert error.value.code == "pve-filesystem-hangs"


def test_a_reader_that_somebody_ended_is_no_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/",)

    (tmp_path / "conf").write_text("text")
    machine = Outside()
    with monkeypatch.context() as patched:
        patched.setattr("onnode.system.reader.PROGRAM", "")
        with pytest.raises(StepError) as error:
            machine.read(f"{tmp_path}/conf")
    assert error.value.code == "command-failed"
    assert machine.read(f"{tmp_path}/conf") == "text"


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/",)

    (tmp_path / "conf").write_text("0123456789\n" * 50_000)
    machine = Outside()
    assert machine.read(f"{tmp_path}/conf") == "0123456789\n" * 50_000
    (tmp_path / "conf").write_text("")
    assert machine.read(f"{tmp_path}/conf") == ""
    assert machine.read(str(tmp_path / "a directory")) is None


def test_what_is_read_outside_is_read_by_one_process_that_keeps_nothing_open(tmp_path: Path) -> None:
    class Outside(ThisMachine):
        may_hang = (f"{tmp_path}/",)

    (tmp_path / "conf").write_text("text")
    before = set(processes.below(os.getpid()))
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        machine = Outside()
        for _ in range(3):
            machine.read(f"{tmp_path}/conf")
        machine.names(str(tmp_path))
    readers = sorted(set(processes.below(os.getpid())) - before)
    assert len(readers) == 1
    with (tmp_path / "lock").open("w") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    del machine
    assert not Path(f"/proc/{readers[0]}").exists(), "it ends with whoever asked it"


def test_the_tail_of_what_was_said() -> None:
    assert tail("a\n\n b \nc\n", 3) == "b | c"
    assert tail(" \n") == "(no output)"


def test_an_api_that_is_not_there(real: ThisMachine) -> None:
    assert real.served_certificate(1) is None


def test_the_clocks_of_a_real_machine(real: ThisMachine) -> None:
    before = real.monotonic()
    real.sleep(0.001)
    assert real.monotonic() > before
    assert real.time() > 1_700_000_000


NO_UTF_8 = b"# caf\xe9, latin-1\r\nkey = \xff\xfe\r\nno line end \xc3"


@pytest.mark.parametrize("may_hang", [(), ("/",)])
def test_bytes_that_are_no_utf_8_survive(real: ThisMachine, tmp_path: Path, may_hang: tuple[str, ...]) -> None:
    (tmp_path / "file").write_bytes(NO_UTF_8)
    (tmp_path / "file").chmod(0o640)
    real.may_hang = may_hang
    text = real.read(str(tmp_path / "file") if may_hang else "/file")
    assert text is not None
    real.write("/file", text + "\n# more\n")
    assert (tmp_path / "file").read_bytes() == NO_UTF_8 + b"\n# more\n"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_where_a_file_is_changed(real: ThisMachine, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/interfaces").write_text("before")
    (tmp_path / "interfaces").symlink_to("kept/interfaces")
    real.write("/interfaces", "after")
    assert (tmp_path / "interfaces").is_symlink()
    assert (tmp_path / "kept/interfaces").read_text() == "after"


def test_what_a_program_prints_is_text_that_every_message_can_carry(real: ThisMachine) -> None:
    result = real.run(["printf", r"caf\351 10%%\r20%%\r\n"])
    assert result.out == "caf\ufffd 10%\n20%\n"


def test_a_password_goes_to_the_machines_own_api_only(
    real: ThisMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_api, "OLD_WORKERS_S", 0.0)
    with capturing(tmp_path, [Authority().issue()]) as server:
        monkeypatch.setattr(own_api, "API_PORT", server.port)
        with pytest.raises(StepError) as refused:
            real.can_log_in("pulumi@pve", "seen", lambda _shown: False)
        assert refused.value.code == "api-certificate"
        assert server.handshakes == 1
        assert server.captured == []
        assert not real.can_log_in("pulumi@pve", "seen", lambda shown: "BEGIN CERTIFICATE" in str(shown))
        assert b"password=seen" in b"".join(server.captured)
    with pytest.raises(StepError) as refused:
        real.can_log_in("pulumi@pve", "seen", lambda _shown: True)
    assert refused.value.code == "api-down"
