"""Running the engine as a child process and following its events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import chronicle
from cli.backend import locks, run_record
from cli.engine import supervisor
from cli.engine.environment import file_backend
from cluster.errors import AdminError
from config.paths import OWN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

LOGS = OWN / "logs"
POLL_S = 0.05
QUERY_S = 120
END_S = 600  # for operations on resources that have begun, and must not be cut off
SUPERVISED = (sys.executable, "-I", "-S", str(Path(supervisor.__file__).resolve()))
Event = dict[str, Any]


@dataclass
class Run:
    """A finished run of the engine."""

    exit_code: int
    output: str
    changes: dict[str, int] = field(default_factory=dict)  # operation -> number of resources
    errors: list[tuple[str, str]] = field(default_factory=list)  # URN (may be empty) and text
    violations: list[tuple[str, str, str]] = field(default_factory=list)  # policy, URN, text
    advice: list[tuple[str, str]] = field(default_factory=list)  # policy, text
    remedies: list[tuple[str, str]] = field(default_factory=list)  # policy, URN
    events: list[Event] = field(default_factory=list)
    duration_s: float = 0.0

    @property
    def changed(self) -> dict[str, int]:
        """The operations that change something."""
        return {op: count for op, count in self.changes.items() if op not in ("same", "read", "refresh")}


@dataclass(frozen=True)
class Engine:
    """The engine, for one stack."""

    stack: str
    environment: dict[str, str]
    directory: Path = ROOT

    def query(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a short command, and return its output.

        Raises:
            AdminError: engine-failed.
        """
        command = ["pulumi", *arguments, "--stack", self.stack, "--non-interactive"]
        try:
            return subprocess.run(
                command,
                cwd=self.directory,
                env=self.environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=QUERY_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            what = f"`pulumi {' '.join(arguments)}` did not end"
            raise AdminError("engine-failed", what, observed=f"nothing for {QUERY_S} s", expected="an answer") from None

    def export(self, *, in_clear: bool = False) -> dict[str, Any] | None:
        """The stack's recorded state; None if there is no such stack yet. Secrets stay encrypted, unless `in_clear`.

        Raises:
            AdminError: engine-failed.
        """
        done = self.query("stack", "export", *(["--show-secrets"] if in_clear else []))
        if done.returncode != 0 and f"no stack named '{self.stack}' found" in done.stderr:
            return None
        _refuse_failed(done, "stack export", self.stack)
        deployment: dict[str, Any] = json.loads(done.stdout)
        if not in_clear:
            chronicle.current().state = deployment
        return deployment

    def replace_state(self, seen: dict[str, Any], deployment: dict[str, Any]) -> None:
        """Record a state in the place of the one that was seen.

        Raises:
            AdminError: stack-locked, also when the state has changed since it was seen; engine-failed.
        """
        if self.export() != seen:
            raise AdminError(
                "stack-locked",
                "another run works on this stack",
                observed="the state has changed",
                expected="no other run",
                fix="wait until it has ended",
            )
        self.import_state(deployment)

    def import_state(self, deployment: dict[str, Any]) -> None:
        """Record a state, whatever was recorded before.

        Raises:
            AdminError: engine-failed.
        """
        _refuse_failed(self.query("stack", "import", stdin=json.dumps(deployment)), "stack import", self.stack)

    def create_stack(self) -> None:
        """Make the stack in the backend; the choice of a current stack is left to the user.

        Raises:
            AdminError: engine-failed.
        """
        _refuse_failed(self.query("stack", "init", "--no-select"), "stack init", self.stack)

    def last_run(self) -> dict[str, Any]:
        """The newest update, refresh or destroy in the stack's history: its `kind`, `result`, `endTime` (ISO 8601) and others.

        Empty if there is none, or if the history cannot be read.

        Raises:
            AdminError: engine-failed, when there is no answer.
        """
        done = self.query("stack", "history", "--json", "--page-size", "1")
        runs: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return runs[0] if runs else {}

    def log(self, operation: str) -> Path:
        """Where the engine's own output of the last such operation is kept."""
        return LOGS / f"{self.stack}-{operation}.log"

    def run(self, operation: str, *arguments: str, on_event: Callable[[Event], None]) -> Run:
        """Run an operation to its end. A signal that interrupts this process lets the engine end in order.

        Raises:
            KeyboardInterrupt: when it was interrupted after it had done everything.
        """
        LOGS.mkdir(parents=True, exist_ok=True)
        output = self.log(operation)
        output.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=LOGS) as directory:
            return self._run(operation, arguments, Path(directory) / "events.json", output, on_event)

    def _run(
        self, operation: str, arguments: Sequence[str], events: Path, output: Path, on_event: Callable[[Event], None]
    ) -> Run:
        command = ["pulumi", operation, "--stack", self.stack, "--non-interactive", "--color", "never"]
        command += ["--event-log", str(events), *arguments]
        environment = {**self.environment, "PULUMI_DEBUG_COMMANDS": "true"}  # which is what adds --event-log
        run = Run(0, "")
        started = time.monotonic()
        with output.open("w+") as sink, _ending_in_order() as asked, self._recorded(operation) as record:
            os.fchmod(sink.fileno(), 0o600)
            process = subprocess.Popen(
                [*SUPERVISED, str(os.getpid()), str(record), *command],
                pass_fds=[record] if record >= 0 else [],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a closed terminal would end the engine at once
            )
            asked.of(process)
            try:
                for event in _follow(events, process):
                    run.events.append(event)
                    _record(run, event)
                    on_event(event)
            finally:
                _end(process)
            sink.seek(0)
            run.exit_code, run.output = process.returncode, sink.read()
        run.duration_s = time.monotonic() - started
        if asked.times and run.exit_code == 0:
            raise KeyboardInterrupt  # the operation was complete before it could be ended; nothing further is begun
        return run

    @contextmanager
    def _recorded(self, operation: str) -> Iterator[int]:
        """Write down that this run holds the stack, if its state is kept in files; yields a descriptor, or -1."""
        backend = file_backend(self.environment) if operation in run_record.HOLDING else None
        if backend is None:
            yield -1
            return
        with run_record.held(backend, self.stack) as record:
            yield record


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run that nobody follows any more, for whatever reason."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.send_signal(supervisor.ORPHANED)
            process.wait(supervisor.END_S * 2)
    if process.returncode < 0:
        supervisor.end_descendants()  # it may have been the supervisor itself that was killed


def _refuse_failed(done: subprocess.CompletedProcess[str], what: str, stack: str) -> None:
    if done.returncode == 0:
        return
    observed = done.stderr.strip().removeprefix("error: ") or f"exit code {done.returncode}"
    if "the stack is currently locked" in observed:
        raise AdminError(
            "stack-locked",
            "another run holds this stack",
            observed=observed,
            expected="no other run",
            fix=f"wait until it has ended; if its machine is gone for good: {locks.cancelling(stack)}",
        )
    if "failed to load checkpoint" in observed:
        raise AdminError(
            "state-damaged", "the recorded state cannot be read", observed=observed, expected="a whole state"
        )
    raise AdminError("engine-failed", f"`pulumi {what}` failed", observed=observed)


def _follow(path: Path, process: subprocess.Popen[bytes]) -> Iterator[Event]:
    """The events as they are written, until the process has ended and all are read."""
    position, rest = 0, b""
    while True:
        ended = process.poll() is not None
        if path.exists():
            with path.open("rb") as stream:
                stream.seek(position)
                chunk = stream.read()
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)
        if ended:
            return
        time.sleep(POLL_S)


def _record(run: Run, event: Event) -> None:
    if diagnostic := event.get("diagnosticEvent"):
        if diagnostic.get("severity") == "error":
            run.errors.append((diagnostic.get("urn", ""), diagnostic["message"].strip()))
    elif policy := event.get("policyEvent"):
        if policy.get("enforcementLevel") == "mandatory":
            run.violations.append((policy["policyName"], policy.get("resourceUrn", ""), policy["message"].strip()))
        else:
            run.advice.append((policy["policyName"], policy["message"].strip()))
    elif remedy := event.get("policyRemediationEvent"):
        run.remedies.append((remedy["policyName"], remedy.get("resourceUrn", "")))
    elif summary := event.get("summaryEvent"):
        run.changes = dict(summary.get("resourceChanges") or {})


@dataclass
class _Asked:
    """Whether a signal asked for the end of the run, and how often it was passed on."""

    process: subprocess.Popen[bytes] | None = None
    times: int = 0

    def of(self, process: subprocess.Popen[bytes]) -> None:
        """Set the process that is to end; a signal that came before is passed on now."""
        self.process = process
        if self.times:
            process.send_signal(signal.SIGINT)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Pass the signal on. A second Ctrl-C ends the engine at once; a closed terminal sends SIGHUP repeatedly, which counts once."""
        if self.times and number != signal.SIGINT:
            return
        self.times += 1
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)


@contextmanager
def _ending_in_order() -> Iterator[_Asked]:
    """Ctrl-C, SIGTERM and SIGHUP ask the engine to end in order, and its end is waited for."""
    asked = _Asked()
    # A signal that is ignored stays ignored: `nohup`.
    caught = [number for number in supervisor.ASKED_TO_END if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, asked) for number in caught}
    supervisor.adopt_orphans()
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
