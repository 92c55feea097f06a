from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onnode import dispatch, registry
from onnode.errors import ON_NODE_CODES, StepError
from onnode.host import kvm_nested
from onnode.system import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fake_machine import FakeMachine

PACKAGE = Path(dispatch.__file__).parent


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The step changes how the process reacts to signals; the tests' process must not keep that."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def call(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, *argv: str, stdin: str = "{}") -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return dispatch.main(list(argv), machine)


def signalled(number: signal.Signals) -> Callable[[list[str], str], str]:
    """A program during which the step gets a signal."""

    def program(_arguments: list[str], _stdin: str) -> str:
        os.kill(os.getpid(), number)
        return ""

    return program


def nested(machine: FakeMachine, live: str = "Y") -> None:
    def modprobe(_arguments: list[str], _stdin: str) -> int:
        machine.write("/sys/module/kvm_intel/parameters/nested", "Y\n")
        return 0

    machine.programs["modprobe"] = modprobe
    machine.write("/proc/cpuinfo", "flags: vmx\n")
    machine.write("/sys/module/kvm_intel/parameters/nested", f"{live}\n")
    machine.write("/sys/module/kvm_intel/initstate", "live\n")
    machine.write("/etc/modprobe.d/a.conf", "options kvm-intel nested=1\n")


def test_the_result_is_the_last_line(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nested(machine)
    assert call(machine, monkeypatch, "kvm-nested", stdin='{"enabled": true}') == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "changed": False,
        "facts": {"nested": True, "virtualization": "vmx"},
    }


@pytest.mark.parametrize(
    ("argv", "stdin", "observed"),
    [
        (["no-such-step"], "{}", "no-such-step"),
        ([], "{}", "expected: journal, journal --restore"),
        (["kvm-nested"], "not json", "Expecting value"),
        (["kvm-nested"], '{"enabled": true, "more": 1}', "unknown keys ['more']"),
        (["kvm-nested"], '{"enabled": "yes"}', "KvmNested.enabled: expected bool, got str"),
        (["kvm-nested"], "[]", "expected dict, got list"),
        (["journal"], "{}", "missing keys ['stack']"),
    ],
)
def test_input_that_is_not_understood(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, argv: list[str], stdin: str, observed: str
) -> None:
    assert call(machine, monkeypatch, *argv, stdin=stdin) == 1
    assert machine.notes[-1].startswith("error[bad-input]: ")
    assert observed in machine.notes[-1]


def test_the_result_is_legible_whatever_bytes_a_file_has(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nested(machine)
    step = dataclasses.replace(kvm_nested.STEP, facts=lambda *_: {"file": "caf\udce9, \u00e9, \U0001f600"})
    monkeypatch.setattr(kvm_nested, "STEP", step)
    assert call(machine, monkeypatch, "kvm-nested") == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])["facts"]
    assert facts == {"file": "caf?, \u00e9, \U0001f600"}


def test_an_ordinary_user_is_told(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert dispatch.main(["membership"], machine) == 1
    assert machine.notes[-1].startswith("error[not-root]: ")


def test_an_error_has_its_four_lines(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write("/proc/cpuinfo", "flags: fpu\n")
    assert call(machine, monkeypatch, "kvm-nested", stdin="{}") == 1
    assert machine.notes[-1].splitlines() == [
        "error[no-virtualization]: this machine cannot run KVM guests",
        "  observed: neither vmx nor svm in /proc/cpuinfo",
        "  expected: vmx or svm",
        f"  next: {ON_NODE_CODES['no-virtualization'].next}",
    ]


def test_no_traceback_ever(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(machine)
    machine.write("/sys/module/kvm_intel/refcnt", "many")
    assert call(machine, monkeypatch, "kvm-nested") == 1
    lines = machine.notes[-1].splitlines()
    assert lines[0].startswith("error[internal]: ")
    assert "ValueError at kvm_nested.py:" in lines[1]
    assert "many" in lines[1]
    assert "Traceback" not in "".join(machine.notes)


def test_a_secret_in_an_unforeseen_error_stays_hidden(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnode.cluster.api_user.observe", lambda _machine, desired: 1 / 0 if desired else None)
    machine.programs["pveum"] = lambda _argv, _stdin: "Xsecret-passwordX"
    stdin = json.dumps({"stack_tag": "t", "user": "pulumi@pve", "password": "secret-password", "role": "r"})
    assert call(machine, monkeypatch, "api-user", stdin=stdin) == 1
    assert machine.notes[-1].startswith("error[")
    assert "secret-password" not in "".join(machine.notes)
    assert "X[secret]X" in machine.scrub("Xsecret-passwordX"), "positive control"


def test_told_to_stop(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(machine, "N")
    machine.programs["qm"] = signalled(signal.SIGTERM)
    assert call(machine, monkeypatch, "kvm-nested") == 1
    assert machine.notes[-1].startswith("error[interrupted]: ")
    assert "SIGTERM" in machine.notes[-1]


def test_a_lost_connection_does_not_stop_a_step(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(machine, "N")
    machine.programs["qm"] = signalled(signal.SIGHUP)
    assert call(machine, monkeypatch, "kvm-nested") == 0


def test_nobody_reads_the_result(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(machine)

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    assert call(machine, monkeypatch, "kvm-nested") == 1


def test_it_holds_the_lock_while_it_works(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(machine, "N")
    seen = []

    def look(*_arguments: object) -> str:
        seen.append(json.loads(machine.read("/run/nested-pve-ha/machine.lock") or ""))
        return ""

    machine.programs["qm"] = look
    assert call(machine, monkeypatch, "kvm-nested") == 0
    assert seen == [{"step": "kvm-nested", "pid": os.getpid()}]


def test_health_does_not_wait_for_a_busy_machine(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnode.system.lock.hold", lambda *_args, **_keywords: pytest.fail("took the lock"))
    assert call(machine, monkeypatch, "cluster-health") == 1
    assert "error[not-proxmox]" in machine.notes[-1], "it got as far as asking for the version"


def test_a_step_that_only_excludes_its_own_kind_waits_for_no_other(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download takes long, and an orphan of a killed run may still be at it."""
    asked = '{"stack": "dev", "url": "http://127.0.0.1:1/a.iso", "checksum": "0", "path": "/srv/a.iso"}'
    with lock.hold(machine, "repository", wait_s=0):
        assert call(machine, monkeypatch, "installer-image", stdin=asked) == 1
    assert "error[iso-missing]" in machine.notes[-1], "it got as far as the download"
    with lock.hold_scope(machine, "installer-image", wait_s=0, scope="installer-image"):
        assert lock.holder(machine) is None, "and keeps no other waiting"
        assert call(machine, monkeypatch, "installer-image", stdin=asked) == 1
    assert "error[machine-busy]" in machine.notes[-1]
    assert f"step installer-image (process {os.getpid()})" in machine.notes[-1]


@pytest.mark.parametrize("name", registry.STEPS)
def test_every_step_of_the_table_is_there(name: str) -> None:
    assert dispatch._step(name).lock in ("exclusive", "shared", "none")


@pytest.mark.parametrize("argv", [["-m", "onnode", "nope"], [str(PACKAGE), "nope"]])
def test_started_as_a_module_and_as_a_directory(argv: list[str], tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(PACKAGE.parent)} if argv[0] == "-m" else {}
    ended = subprocess.run(
        [sys.executable, *argv], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error[bad-input]: there is no step 'nope'\n  observed: nope\n")
    assert ended.stdout == ""


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
from onnode import registry
for name in registry.STEPS:
    registry.step(name)
"""
    argv = [sys.executable, "-I", "-S", "-c", program]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    for name, code in ON_NODE_CODES.items():
        assert code.meaning.endswith("."), name
        assert code.next, name
        assert not code.next.endswith("."), name


def test_every_code_that_is_raised_is_in_the_table_and_none_is_left_over() -> None:
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "errors.py"}
    for name in ON_NODE_CODES:
        assert any(f'"{name}"' in text for text in texts.values()), f"{name} is never raised"


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        StepError("no-such-code", "x")


def test_the_module_of_a_step_is_found_by_its_name() -> None:
    assert dispatch._step("kvm-nested") is kvm_nested.STEP


def test_what_a_step_makes_does_not_depend_on_the_machines_umask(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hardened host has 077 or 027: the user of libvirt's VMs could not pass to their disks."""
    before = os.umask(0o077)
    try:
        call(machine, monkeypatch, "no-such-step")
    finally:
        now = os.umask(before)
    assert now == 0o022
