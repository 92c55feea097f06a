"""A preview without the recorded state: the program in a directory of its own, with worthless credentials."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import description
from cli.engine import engine, environment
from cli.engine.environment import BACKEND_VARIABLE, PASSPHRASE_VARIABLES
from config import host_keys
from config.credentials import FILE_VARIABLE, STACK_KEY
from config.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.engine.engine import Engine
    from config.model import Config

PROGRAM = ("Pulumi.yaml", "__main__.py", "config", "components", "cluster", "cli", "onnode", "policy", ".venv")


@contextmanager
def scratch(stack: str, config: Config) -> Iterator[Engine]:
    """The program with an empty state, removed afterwards.

    Args:
        stack: which stack.
        config: its configuration. Encrypted values of the stack file are left out: nothing here could decrypt them.

    Raises:
        AdminError: config-invalid, if the engine itself refuses the stack file.
    """
    from cli.looks import trust  # noqa: PLC0415 - slow to load, and a report of a file that is not right needs it not

    with tempfile.TemporaryDirectory(prefix="nested-pve-report-") as name:
        directory = Path(name)
        for part in PROGRAM:
            (directory / part).symlink_to(ROOT / part)
        for file in ROOT.glob(f"Pulumi.{stack}.policy.json"):
            (directory / file.name).symlink_to(file)
        credentials = directory / "credentials.json"
        credentials.touch(mode=0o600)
        credentials.write_text(json.dumps(_worthless(config)))
        env = environment.for_engine() | {
            FILE_VARIABLE: str(credentials),
            BACKEND_VARIABLE: directory.as_uri(),
            PASSPHRASE_VARIABLES[0]: "nothing is kept",
            **trust.at_seed(config),
        }
        env.pop(PASSPHRASE_VARIABLES[1], None)
        runner = engine.Engine(stack, env, directory)
        runner.create_stack()
        readable = {key: text for key, text in _settings(runner).items() if key != STACK_KEY}
        (directory / f"Pulumi.{stack}.yaml").write_text(json.dumps({"config": readable}))
        yield runner


def _settings(runner: Engine) -> dict[str, str]:
    """The settings that the engine reads from the real stack file, without encrypted ones."""
    file = description.stack_file(runner.stack)
    found = runner.query("config", "--json", "--config-file", str(file))
    if found.returncode != 0:
        raise description.InvalidConfigError(
            f"error[config-invalid]: the engine does not take {file.name}\n  observed: {found.stderr.strip()}"
        )
    return {key: entry["value"] for key, entry in json.loads(found.stdout).items() if not entry.get("secret")}


def _worthless(config: Config) -> dict[str, Any]:
    """Credentials that have the right shape; a preview logs in nowhere."""
    return {
        "sshPrivateKey": host_keys.derive("report", "administrator").private_pem,
        "rootPassword": "no-password",
        "apiPassword": "no-password",
        "hostKeySeed": "00" * 32,
        "outerHosts": {
            host.name: {"password": "no-password", "hostKey": _host_key(host.name)} for host in config.outer_hosts
        },
        "nodes": {node.name: {"hostKey": _host_key(node.name)} for node in config.nodes},
    }


def _host_key(name: str) -> str:
    return host_keys.derive("report", f"host {name}").public
