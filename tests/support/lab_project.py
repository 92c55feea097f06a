"""A copy of the project whose stack runs in a lab of its own: what a person would do, command by command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lab.settings import Settings
from lab.world import lifecycle
from tests.support.checkout import copy_tracked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN_LIMIT_S = 600
NAMESPACE = "nested-pve-ha"


@dataclass(frozen=True)
class Run:
    """A finished command: its exit code and all it said, both streams together."""

    code: int
    output: str


class LabProject:
    """The tracked files in a directory of the test, its own Pulumi state, and the lab in which it runs."""

    def __init__(self, directory: Path, lab_state: Path, stack: str = "dev") -> None:
        self.directory = directory
        self.stack = stack
        self.lab_state = lab_state
        self.deployed: Any = None  # the configuration of the last `up`, whatever became of it; None after a `down`
        self.backend = ""  # where the state is kept; in the copy's own files when empty
        self.seen_well = False  # whether the last command was one that finds all as described
        copy_tracked(directory)
        self.state = directory / ".nested-pve" / "state"
        self.state.mkdir()

    @property
    def identity(self) -> str:
        """The lab's name, which the control groups of its machines carry."""
        return Settings(self.lab_state, self.lab_state).identity

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment with this lab and this state."""
        # Under sudo, too, all is root's: its directories are closed to the user who called.
        cleared = {
            "SSH_AUTH_SOCK",
            "PULUMI_BACKEND_URL",
            "PULUMI_CONFIG_PASSPHRASE",
            "SUDO_UID",
            "SUDO_GID",
            "SUDO_USER",
        }
        kept = {name: value for name, value in os.environ.items() if name not in cleared}
        return {**kept, "NESTED_PVE_LAB_STATE": str(self.lab_state)}

    def command(self, *arguments: str) -> list[str]:
        """`arguments` as run on the control machine."""
        elsewhere = ("env", f"PULUMI_BACKEND_URL={self.backend}") if self.backend else ()
        return [sys.executable, "-m", "lab", "run", "--", *elsewhere, *arguments]

    def admin_command(self, name: str, *arguments: str) -> list[str]:
        """`admin NAME` for this stack, as `make` calls it; `up` without asking."""
        if name == "up":
            self.deployed = self.configuration()
            arguments = ("--yes", *arguments)
        if name == "down":
            self.deployed = None
        return self.command(".venv/bin/python", "-m", "cli", name, "--stack", self.stack, *arguments)

    def run(self, command: list[str], limit_s: int = RUN_LIMIT_S, stdin: str = "") -> Run:
        """Run to the end; never longer than the limit."""
        self.seen_well = False
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def admin(self, name: str, *arguments: str) -> Run:
        """Run `admin NAME`."""
        run = self.run(self.admin_command(name, *arguments))
        self.seen_well = name in ("up", "status") and run.code == 0
        return run

    def start_admin(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start `admin NAME` in a session of its own, to be killed."""
        self.seen_well = False
        return subprocess.Popen(
            self.admin_command(name, *arguments),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def pulumi(self, *arguments: str) -> Run:
        """Run `pulumi` as in `make shell`."""
        if arguments[0] == "up":
            self.deployed = self.configuration()
        words = ("--non-interactive", "--color", "never", "--stack", self.stack)
        return self.run(
            self.command(
                ".venv/bin/python", "-m", "cli", "exec", "--stack", self.stack, "--", "pulumi", *arguments, *words
            )
        )

    def preview_operations(self, *arguments: str) -> dict[str, str]:
        """What a preview would do, by resource name; what stays the same is left out."""
        run = self.run(
            self.command(
                ".venv/bin/python",
                "-m",
                "cli",
                "exec",
                "--stack",
                self.stack,
                "--",
                "pulumi",
                "preview",
                "--json",
                "--stack",
                self.stack,
                "--policy-pack",
                "policy",
                *arguments,
            )
        )
        steps = json.loads(run.output[run.output.index("{") :])["steps"]
        return {step["urn"].rsplit("::", 1)[1]: step["op"] for step in steps if step["op"] not in ("same", "read")}

    def lab(self, *arguments: str) -> Run:
        """Run `python -m lab …`."""
        return self.run([sys.executable, "-m", "lab", *arguments])

    def ssh(self, address: str, command: str, limit_s: int = 60, stdin: str = "") -> Run:
        """Look at a machine from outside, with the lab's own key."""
        key = self.directory / ".nested-pve" / "key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(self.credentials()["sshPrivateKey"])
        options = ("-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                   "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5", "-o", "BatchMode=yes")  # fmt: skip
        way_in = lifecycle.way_in(Settings(self.lab_state, self.lab_state))
        return self.run([*way_in, "ssh", *options, f"root@{address}", command], limit_s, stdin)

    def credentials(self) -> dict[str, Any]:
        """The lab's secrets."""
        read: dict[str, Any] = json.loads((self.lab_state / "credentials.json").read_text())
        return read

    @property
    def stack_file(self) -> Path:
        """The stack's configuration."""
        return self.directory / f"Pulumi.{self.stack}.yaml"

    def configuration(self) -> dict[str, Any]:
        """The stack file's values below the project's namespace, keys without it."""
        values = yaml.safe_load(self.stack_file.read_text())["config"]
        return {key.removeprefix(f"{NAMESPACE}:"): value for key, value in values.items()}

    def configure(self, values: dict[str, Any]) -> None:
        """Write the stack file back with these values."""
        document = yaml.safe_load(self.stack_file.read_text())
        document["config"] = {f"{NAMESPACE}:{key}": value for key, value in values.items()}
        self.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))

    def mend(self) -> None:
        """Power on every machine and restore every link; what a test broke outside Pulumi."""
        for machine in json.loads(self.lab("status", "--json").output)["machines"]:
            if not machine["on"]:
                self.lab("node", "start", machine["name"])
            for cut in machine["cut"]:
                word = ("storage", "restore") if cut == "storage" else ("link", "restore")
                self.lab(*word, machine["name"], *(() if cut == "storage" else (str(cut),)))

    def eventually(self, look: Callable[[], bool], limit_s: float = 60) -> bool:
        """Whether `look` comes true within the limit."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if look():
                return True
            time.sleep(0.5)
        return look()
