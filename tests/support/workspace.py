"""A Pulumi project and stack of one test: the real engine, state in a directory of the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
STACK = "test"
RUN_LIMIT = 600
SECRET = "4dabf18193072939515e22adb298388d"  # the engine's mark

PROJECT = """\
name: workspace
runtime:
  name: python
  options:
    toolchain: pip
backend:
  url: file://{state}
"""


@dataclass(frozen=True)
class Run:
    """One finished run of the engine.

    Attributes:
        code: Exit code.
        output: What a user saw.
        events: The engine's events, in order.
    """

    code: int
    output: str
    events: list[dict[str, Any]]

    def steps(self) -> dict[str, list[str]]:
        """The operations that the engine planned, by resource name ("same", "update", "create-replacement", ...)."""
        steps: dict[str, list[str]] = {}
        for event in self.events:
            if "resourcePreEvent" in event:
                meta = event["resourcePreEvent"]["metadata"]
                steps.setdefault(meta["urn"].rsplit("::", 1)[1], []).append(meta["op"])
        return steps

    def metadata(self, name: str) -> dict[str, Any]:
        """What the engine planned for the first step of the resource: diffs, old and new state."""
        for event in self.events:
            if "resourcePreEvent" in event:
                meta: dict[str, Any] = event["resourcePreEvent"]["metadata"]
                if meta["urn"].endswith(f"::{name}"):
                    return meta
        raise KeyError(name)

    def messages(self, name: str) -> list[str]:
        """What was logged for a resource, ephemeral lines included."""
        return [m for urn, m in diagnostics(self.events) if urn.endswith(f"::{name}")]


def diagnostics(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """URN and text of each logged message."""
    found = [event["diagnosticEvent"] for event in events if "diagnosticEvent" in event]
    return [(d.get("urn", ""), d["message"].strip()) for d in found]


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events written so far; the last line may still be in the making."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def toolchain_environment(python: Path) -> dict[str, str]:
    """The environment in which the project's engine and plugins are found, and the Python environment of its programs."""
    command = 'paths="$("$0" -m toolchain paths --shell)" && eval "$paths" && env -0'
    done = subprocess.run(["bash", "-c", command, sys.executable], cwd=ROOT, check=True, capture_output=True)
    found = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    return {**found, "PATH": f"{python / 'bin'}{os.pathsep}{found['PATH']}", "VIRTUAL_ENV": str(python)}


class Workspace:
    """A project in a directory; the program is replaced from run to run.

    The program finds the test's values in its configuration: `cfg("name")` returns what was given to `run`.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], empty: Path | None = None) -> None:
        """Make the project's stack, or take that of another one that is empty: it costs no run of the engine."""
        self.directory = directory
        self.events = directory / "events.json"
        self.state = directory / "state"
        if empty:
            shutil.copytree(empty, directory)
        else:
            self.state.mkdir(parents=True)
        (directory / "Pulumi.yaml").write_text(PROJECT.format(state=self.state))
        self.environment = {
            **environment,
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_DEBUG_COMMANDS": "true",  # adds --event-log
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONWARNINGS": "ignore",
        }
        # An agent of the person who runs the tests must not help them.
        self.environment.pop("SSH_AUTH_SOCK", None)
        if not empty:
            # Not selected: that choice would be kept in the user's PULUMI_HOME.
            self._pulumi("stack", "init", "--no-select")

    def _arguments(self, *arguments: str) -> list[str]:
        return [
            "pulumi",
            *arguments,
            "--non-interactive",
            "--color",
            "never",
            "--cwd",
            str(self.directory),
            "--stack",
            STACK,
        ]

    def _pulumi(self, *arguments: str) -> str:
        done = subprocess.run(
            self._arguments(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT,
            check=True,
        )
        return done.stdout

    def write_program(self, program: str, values: Mapping[str, object]) -> None:
        (self.directory / "values.json").write_text(json.dumps(values))
        head = "import json\nimport pulumi\nfrom pathlib import Path\n"
        head += "cfg = json.loads(Path('values.json').read_text()).__getitem__\n"
        (self.directory / "__main__.py").write_text(head + program)

    def start(self, operation: str, *arguments: str) -> subprocess.Popen[str]:
        """Start `pulumi <operation>` and leave it running; `finish` waits for it."""
        self.events.unlink(missing_ok=True)
        return subprocess.Popen(
            self._arguments(operation, *arguments, "--event-log", str(self.events)),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Run:
        try:
            output, _ = process.communicate(timeout=RUN_LIMIT)
        finally:
            process.kill()
        return Run(process.returncode, output, read_events(self.events))

    def start_up(self, program: str, **values: object) -> subprocess.Popen[str]:
        self.write_program(program, values)
        return self.start("up", "--yes", "--skip-preview")

    def up(self, program: str, **values: object) -> Run:
        return self.finish(self.start_up(program, **values))

    def preview(self, program: str, **values: object) -> Run:
        self.write_program(program, values)
        return self.finish(self.start("preview"))

    def refresh(self, *arguments: str) -> Run:
        return self.finish(self.start("refresh", "--yes", "--skip-preview", *arguments))

    def destroy(self) -> Run:
        return self.finish(self.start("destroy", "--yes", "--skip-preview"))

    def resources(self) -> dict[str, dict[str, Any]]:
        """The state as it is stored, by resource name; secrets are ciphertext."""
        stored = json.loads((self.state / ".pulumi/stacks/workspace" / f"{STACK}.json").read_text())
        deployment = stored["checkpoint"]["latest"] or {}
        return {r["urn"].rsplit("::", 1)[1]: r for r in deployment.get("resources", [])}

    def export(self, *, in_clear: bool = True) -> dict[str, Any]:
        """The state, secrets in the clear or as they are stored."""
        state: dict[str, Any] = json.loads(self._pulumi("stack", "export", *(["--show-secrets"] if in_clear else [])))
        return state

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Record another state; secrets are in the clear."""
        file = self.directory / "import.json"
        file.write_text(json.dumps(state))
        self._pulumi("stack", "import", "--file", str(file))

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in the clear."""
        outputs: dict[str, Any] = self.resources()[f"workspace-{STACK}"].get("outputs", {})
        if SECRET in json.dumps(outputs):
            outputs = json.loads(self._pulumi("stack", "output", "--json", "--show-secrets"))
        return outputs
