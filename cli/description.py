"""The stack's configuration and credentials, read as the program reads them, without running the engine."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli import chronicle
from cli.backend import namesakes
from cli.engine.environment import BACKEND_VARIABLE
from cluster.errors import AdminError
from config import credentials
from config import stack_file as files
from config.errors import ConfigError
from config.load import load
from config.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from config.credentials import Credentials
    from config.model import Config
    from config.stack_file import StackFile

PULUMI_S = 60


@dataclass(frozen=True)
class Description:
    """What is wanted, and with which credentials."""

    stack: str
    config: Config
    credentials: Credentials


def read(stack: str, environment: dict[str, str]) -> Description:
    """Read a stack's description. The engine is asked only if the stack file holds encrypted values.

    Raises:
        AdminError: stack-unknown, config-invalid, stack-secrets.
    """
    file = stack_file(stack)
    settings, secret_keys = _settings(stack, file, environment)
    kept = chronicle.current()
    kept.environment = environment
    kept.secrets.update(settings[key] for key in secret_keys)
    try:
        kept.config = config = load(settings)
        secrets = credentials.load(config, settings, secret_keys, os.environ, stack=stack)
        kept.secrets.update(secrets.texts)
        return Description(stack, config, secrets)
    except credentials.NoCredentialsError as error:
        raise NoCredentialsError(str(error), config) from None
    except ConfigError as error:
        raise InvalidConfigError(str(error)) from None


def refuse_bad(stack: str) -> None:
    """Refuse an invalid stack file, as far as that is seen without the engine and without secrets.

    A command does this before it loads its slow modules, so that the refusal comes at once.

    Raises:
        AdminError: stack-unknown, config-invalid.
    """
    file = stack_file(stack)
    try:
        load(written(file.read_bytes(), file.name).settings)
    except ConfigError as error:
        raise InvalidConfigError(str(error)) from None


def stacks() -> list[str]:
    """The stacks that have a stack file."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in ROOT.glob("Pulumi.*.yaml"))


def stack_file(stack: str) -> Path:
    """Where a stack is described.

    Raises:
        AdminError: stack-unknown, stack-name-taken.
    """
    file = ROOT / f"Pulumi.{stack}.yaml"
    if stack in stacks():
        namesakes.refuse(stack, stacks(), "has a stack file here, too")
    if not file.is_file():
        raise AdminError(
            "stack-unknown",
            f"there is no stack file for {stack}",
            observed=f"stacks {', '.join(stacks())}",
            expected=file.name,
        )
    return file


class InvalidConfigError(AdminError):
    """All problems of the configuration, as the model words them."""

    def __init__(self, text: str) -> None:
        super().__init__("config-invalid", text)

    def render(self) -> str:
        """Every problem with its key and its fix, as the model words it."""
        return self.what


class NoCredentialsError(InvalidConfigError):
    """The credentials that this configuration needs are given nowhere."""

    def __init__(self, text: str, config: Config) -> None:
        super().__init__(text)
        self.config = config


def written(content: bytes | str, name: str) -> StackFile:
    """The settings of a stack file, as the engine hands them over; encrypted ones stay encrypted.

    Args:
        content: of the file.
        name: what to call the file.

    Raises:
        AdminError: config-invalid.
    """
    try:
        return files.parse(content, name)
    except ConfigError as error:
        raise InvalidConfigError(str(error)) from None


def _settings(stack: str, file: Path, environment: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    own = written(file.read_bytes(), file.name)
    if not own.encrypted:
        return own.settings, set()
    command = ["pulumi", "config", "--stack", stack, "--json", "--show-secrets", "--non-interactive"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PULUMI_S, check=False
    )
    if done.returncode != 0 and f"no stack named '{stack}' found" in done.stderr:
        raise AdminError(
            "stack-state-missing",
            f"there is a stack file for {stack}, and no state of it here",
            observed=f"nothing of {stack} in {environment.get(BACKEND_VARIABLE)}",
            expected="the state that belongs to the stack file",
            fix=f"restore .nested-pve/state, or set {BACKEND_VARIABLE}; if the state is lost: "
            f"`make adopt STACK={stack}`; for a new stack only: "
            f"`pulumi stack init {stack} --no-select` in `make shell STACK={stack}`",
        )
    if done.returncode != 0:
        raise AdminError(
            "stack-secrets",
            f"the secrets in {file.name} cannot be read",
            observed=done.stderr.strip().removeprefix("error: "),
            expected="the passphrase, or access to the secrets provider, of the stack",
        )
    values: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return (
        {key: str(entry.get("value", "")) for key, entry in values.items()},
        {key for key, entry in values.items() if entry.get("secret")},
    )
