"""What asks make to end asks the command that make runs, once, and make waits until it has ended; with real processes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.errors import CODES
from tests.support.processes import eventually
from tools import attended

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 20.0

# In the place of this project's Python: what works takes a while to end in order, and the lab's way in is the parent of what
# it runs and dies of a signal, as nsenter does.
PYTHON = """\
#!{python}
import os, signal, sys, time
from pathlib import Path
here, arguments = Path({here!r}), sys.argv[1:]
def say(word):
    with (here / "said").open("a") as said:
        said.write(word + "\\n")
def asked(number, frame):
    say(signal.Signals(number).name)
    time.sleep(0.5)
    say("ended in order")
    os._exit(130)
if arguments[0] == "-I":
    os.execv({python!r}, [{python!r}, *arguments])
if arguments[:3] == ["-m", "lab", "run"]:
    sys.path.insert(0, {root!r})
    from tools import attended
    way_in = [sys.executable, "-c", {way_in!r}]
    attended.end(attended.run(arguments[6:], caller=int(arguments[4]), way=way_in))
if arguments[:2] != [*{busy!r}]:
    sys.exit()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, asked)
say("begun")
time.sleep(60)
"""
WAY_IN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
child = os.fork()
if not child:
    os.execvp(sys.argv[1], sys.argv[1:])
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
"""
PLAIN = "up:\n\t@.venv/bin/python -m cli up && true\n"


@dataclass
class Terminal:
    """What runs at a terminal."""

    make: subprocess.Popen[str]
    controller: int

    def types_ctrl_c(self) -> None:
        os.write(self.controller, b"\x03")

    def shows(self, text: str) -> bool:
        """Whether it shows a text in time, of what was not read before."""
        shown = ""
        while text not in shown and select.select([self.controller], [], [], LIMIT_S)[0]:
            shown += os.read(self.controller, 65536).decode()
        return text in shown

    def rest(self) -> str:
        """What it shows until all that use it have ended."""
        shown = b""
        with suppress(OSError):  # which is a terminal's end
            while select.select([self.controller], [], [], LIMIT_S)[0]:
                shown += os.read(self.controller, 65536)
        return shown.decode().replace("\r\n", "\n")


def of_a_user() -> dict[str, str]:
    """The environment, without what the make that runs these tests has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "JUNIT"))}


class Making:
    """A run of make in a session of its own, with a command that does not end by itself."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said_file = directory / "said"
        self.marker = f"attended-{os.getpid()}-{time.monotonic_ns()}"
        (directory / "tools").symlink_to(ROOT / "tools")
        (directory / ".venv" / "bin").mkdir(parents=True)
        # As new as a file can be: nothing has to be made first.
        for file in ("requirements.txt", "requirements-dev.txt", ".venv/.complete", ".venv/.dev"):
            (directory / file).touch()
        self.makefile = ROOT / "Makefile"
        self.controller = -1

    def start(
        self, *words: str, busy: tuple[str, str] = ("-m", "cli"), terminal: int | None = None
    ) -> subprocess.Popen[str]:
        python = self.directory / ".venv" / "bin" / "python"
        names = {
            "python": sys.executable,
            "here": str(self.directory),
            "root": str(ROOT),
            "busy": busy,
            "way_in": WAY_IN,
        }
        python.write_text(PYTHON.format(**names))
        python.chmod(0o755)
        at_terminal = ["setsid", "--ctty"] if terminal is not None else []
        making = subprocess.Popen(
            [*at_terminal, "make", "--file", str(self.makefile), "SUDO=", *words],
            cwd=self.directory,
            env=of_a_user() | {"MARKER": self.marker},
            stdin=terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=terminal is None,
        )
        assert eventually(lambda: self.said() == ["begun"], LIMIT_S), self.said()
        return making

    def at_a_terminal(self, *words: str, busy: tuple[str, str] = ("-m", "cli")) -> Terminal:
        """The same, at a terminal of its own."""
        self.controller, terminal = pty.openpty()
        make = self.start(*words, busy=busy, terminal=terminal)
        os.close(terminal)
        return Terminal(make, self.controller)

    def said(self) -> list[str]:
        return self.said_file.read_text().splitlines() if self.said_file.exists() else []

    def left(self) -> list[int]:
        """The processes of this run."""
        found = []
        for file in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if self.marker.encode() in file.read_bytes():
                    found.append(int(file.parent.name))
        return found


@pytest.fixture
def making(tmp_path: Path) -> Iterator[Making]:
    making = Making(tmp_path)
    yield making
    for pid in making.left():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if making.controller >= 0:
        os.close(making.controller)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "words",
    [
        ("up", "STACK=home"),
        ("down", "STACK=home"),
        ("pr-report", "STACK=home"),
        ("up", "STACK=dev"),
        ("down", "STACK=dev"),
    ],
    ids=" ".join,
)
def test_a_signal_to_make_ends_the_run_in_order(making: Making, words: tuple[str, ...], number: signal.Signals) -> None:
    make = making.start(*words)
    make.send_signal(number)
    said, _ = make.communicate(timeout=LIMIT_S)
    assert making.said() == ["begun", number.name, "ended in order"], said
    assert make.returncode != 0
    assert "Next:" not in said
    assert "Lab stopped" not in said
    assert not making.left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_make_ends_the_build_of_its_tools(making: Making, number: signal.Signals) -> None:
    make = making.start("up", "STACK=home", busy=("-m", "toolchain"))
    make.send_signal(number)
    said, _ = make.communicate(timeout=LIMIT_S)
    assert making.said() == ["begun", number.name, "ended in order"]
    assert "✗ Pulumi engine and plugins failed after" in said
    assert not making.left()


@pytest.mark.parametrize("stack", ["home", "dev"])
def test_ctrl_c_asks_once(making: Making, stack: str) -> None:
    """It reaches everybody at the terminal by itself."""
    make = making.start("up", f"STACK={stack}")
    os.killpg(make.pid, signal.SIGINT)
    make.communicate(timeout=LIMIT_S)
    assert making.said() == ["begun", "SIGINT", "ended in order"]
    assert not making.left()


# Each goal that works on a stack, and the stages before it with what they run.
AT_WORK = [
    (goal, stack, ("-m", "cli"))
    for goal in ("up", "adopt", "preview", "status", "down", "pr-report", "shell")
    for stack in ("home", "dev")
]
STAGES = {
    "Pulumi engine and plugins": ("up", "home", ("-m", "toolchain")),
    "Lab": ("up", "dev", ("-m", "lab")),
    "Unit and policy tests": ("unit", "dev", ("-m", "pytest")),
}


@pytest.mark.parametrize(("goal", "stack", "busy"), [*AT_WORK, *STAGES.values()])
def test_make_waits_for_what_is_interrupted_at_a_terminal(
    making: Making, goal: str, stack: str, busy: tuple[str, str]
) -> None:
    if goal == "pr-report":
        recorded = making.directory / ".nested-pve/state/.pulumi/stacks/project" / f"{stack}.json"
        recorded.parent.mkdir(parents=True)
        recorded.touch()
    terminal = making.at_a_terminal(goal, f"STACK={stack}", busy=busy)
    terminal.types_ctrl_c()
    assert terminal.shows("interrupted: waiting for the command to end in order")
    assert terminal.make.poll() is None
    terminal.types_ctrl_c()  # once more, which is the command's to judge
    shown = terminal.rest()
    terminal.make.wait(LIMIT_S)
    assert making.said()[-1] == "ended in order"
    assert set(making.said()[1:-1]) == {"SIGINT"}
    assert not making.left()
    assert "Next:" not in shown
    assert "interrupted: waiting" not in shown


@pytest.mark.parametrize("name", STAGES)
def test_an_interrupted_stage_names_it_and_the_next_step(making: Making, name: str) -> None:
    goal, stack, busy = STAGES[name]
    terminal = making.at_a_terminal(goal, f"STACK={stack}", busy=busy)
    terminal.types_ctrl_c()
    shown = terminal.rest()
    assert re.search(
        rf"✗ {name} failed after \d s \(interrupted\)\n\nerror\[run-interrupted\]: .*\n  next: run the", shown
    )
    code = re.findall(r"error\[(.*)\]", attended.INTERRUPTED)
    assert code[0] in CODES
    terminal.make.wait(LIMIT_S)


@pytest.mark.parametrize("stack", ["home", "dev"])
def test_an_interrupt_of_make_alone_is_passed_on(making: Making, stack: str) -> None:
    """As `kill -INT` sends it: make takes for granted that its commands got it, too, and waits for them."""
    make = making.start("up", f"STACK={stack}")
    make.send_signal(signal.SIGINT)
    make.communicate(timeout=LIMIT_S)
    assert making.said() == ["begun", "SIGTERM", "ended in order"]
    assert not making.left()


@pytest.mark.parametrize("stack", ["home", "dev"])
def test_a_make_that_is_killed_is_missed(making: Making, stack: str) -> None:
    make = making.start("up", f"STACK={stack}")
    make.kill()
    make.communicate(timeout=LIMIT_S)
    assert eventually(lambda: not making.left(), LIMIT_S)
    assert making.said() == ["begun", "SIGTERM", "ended in order"]


def test_without_it_make_passes_no_hangup_on(making: Making) -> None:
    """Else the tests above would show nothing."""
    making.makefile = making.directory / "Makefile"
    making.makefile.write_text(PLAIN)
    make = making.start("up")
    make.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert make.poll() is None
    assert making.said() == ["begun"]


def test_what_nohup_ignores_stays_ignored() -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tools import attended; attended.run(['cat'])"
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", program]
    with subprocess.Popen(ignoring, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin
        assert run.stdout
        run.stdin.write("a\n")
        run.stdin.flush()
        assert run.stdout.readline() == "a\n"
        run.send_signal(signal.SIGHUP)
        run.stdin.write("b\n")
        run.stdin.flush()
        assert run.stdout.readline() == "b\n"
    assert run.returncode == 0


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("true", 0)])
def test_it_ends_as_the_command_does(command: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "tools/attended.py", "0", "Name", "sh", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout.startswith("\n▸ Name\n")
    assert ("✓ Name (0 s)" in done.stdout) == (code == 0)
    assert ("✗ Name failed" in done.stderr) == (code != 0)


def test_a_command_that_is_not_there_is_named() -> None:
    command = [sys.executable, "-I", "-S", "tools/attended.py", "0", "", "no-such-command"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "error: no-such-command cannot be run: No such file or directory\n"


# As make is after a signal: it catches it no more, and blocks it until one of several commands has ended.
MAKE = """\
import signal, sys
signal.signal(signal.SIGHUP, print)
print(flush=True)
for blocked in ([signal.SIGHUP], []):
    input()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    print(flush=True)
sys.stdin.read()
"""


def test_a_signal_that_make_got_is_seen_also_after_another_command_has_ended() -> None:
    asked = []
    with subprocess.Popen(
        [sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as make:
        assert make.stdin is not None
        assert make.stdout is not None
        make.stdout.readline()
        caller = attended._Caller(make.pid)
        for _ in range(2):
            asked.append(caller.asks_with({signal.SIGHUP}))
            make.stdin.write("\n")
            make.stdin.flush()
            make.stdout.readline()
        asked.append(caller.asks_with({signal.SIGHUP}))
        make.stdin.close()
    assert asked == [0, signal.SIGHUP, signal.SIGHUP]


# Beside it, make starts one command after another, and blocks all signals for a moment each time.
BESIDE = """\
both: long short
long:
\t@python3 -I -S tools/attended.py $$PPID "Long" sh -c 'until test -e over; do sleep 0.1; done'
short:
{short}\t@touch over
"""


def test_a_make_that_starts_another_command_asks_for_nothing(making: Making) -> None:
    short = "".join(f"\t@true {number}\n" for number in range(5000))
    (making.directory / "Makefile").write_text(BESIDE.format(short=short))
    done = subprocess.run(
        ["make", "--jobs=2", "both"],
        cwd=making.directory,
        env=of_a_user(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ Long" in done.stdout
