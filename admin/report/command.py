"""Makes the report: with the recorded state where it can be read, and by comparing stack files where it cannot."""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from admin import description, engine, environment, policies
from admin.environment import BACKEND_VARIABLE, ROOT
from admin.errors import AdminError
from admin.report import stacks
from admin.report.markdown import Report, render
from admin.report.plan import Plan, read
from components import host_keys
from components.config import Config, ConfigError, load
from components.config.load import CREDENTIALS_KEY, NAMESPACE
from components.credentials import FILE_VARIABLE
from components.facts import design_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin.engine import Engine, Event

PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "admin", "onnode", "policy", ".venv")
CREDENTIALS = f"{NAMESPACE}:{CREDENTIALS_KEY}"
# Why the recorded state cannot be read, in few words; the configuration itself is known to be right by then.
WHY = {
    "config-invalid": "there are no credentials here",
    "stack-secrets": "its secrets cannot be read here",
    "stack-state-missing": "it is not kept here",
    "engine-failed": "the backend does not give it",
}
NOTHING = Plan([], [], [], [], None, None)


def report(stack: str, base: str | None) -> tuple[str, bool]:
    """The report as Markdown, and whether `up` would go through.

    Args:
        stack: which stack.
        base: a Git revision to compare with, where no state can be read.

    Raises:
        AdminError: stack-unknown, base-unknown, toolchain-missing.
    """
    if base is not None:
        _refuse_unknown(base)
    made = _report(stack, base)
    return render(made), not made.refusals


def changed_stacks(base: str | None) -> list[str]:
    """The stacks whose inputs differ from a Git revision, as far as they are committed; all of them without one.

    Raises:
        AdminError: base-unknown.
    """
    there = description.stacks()
    if base is None:
        return there
    _refuse_unknown(base)
    listed = _git("diff", "--name-only", f"{base}...HEAD")
    return stacks.touched(there, listed.stdout.split("\n"))


def _report(stack: str, base: str | None) -> Report:
    env = environment.for_engine()
    file = description.stack_file(stack)
    try:
        config = load(description.parsed(file.read_text(), file.name))
    except (ConfigError, AdminError) as error:
        problem = error.render() if isinstance(error, AdminError) else str(error)
        basis = f"{file.name} was checked; there is no preview."
        return Report(stack, NOTHING, None, basis, problems=[problem])
    try:
        description.read(stack, env)
        runner = engine.Engine(stack, env)
        state = runner.export()
    except AdminError as error:
        return _without_state(stack, config, base, WHY.get(error.code, error.what))
    if state is None:
        return _without_state(stack, config, base, "nothing is recorded of this stack")
    plan = read(_preview(runner))
    return Report(stack, plan, plan.recorded, "Compared with the recorded state; no host was touched.")


def _without_state(stack: str, config: Config, base: str | None, why: str) -> Report:
    with _scratch(stack, config) as runner:
        plan = read(_preview(runner))
    before = _base_facts(stack, base) if base else None
    compared = f"the stack files of `{base}` and this change were compared" if before else "everything is new"
    basis = f"Without the recorded state ({why}): {compared}, and the policies judged a plan from nothing."
    return Report(stack, plan, before, basis, applied=before is None)


def _preview(runner: Engine) -> list[Event]:
    run = runner.run("preview", *policies.arguments(runner.stack), on_event=lambda _event: None)
    if run.exit_code != 0 and not run.errors and not run.violations:
        run.events.append({"diagnosticEvent": {"severity": "error", "message": run.output.strip()}})
    return run.events


def _base_facts(stack: str, base: str) -> dict[str, Any] | None:
    """The design at a revision; None where there was none, or none that this program understands."""
    shown = _git("show", f"{base}:./Pulumi.{stack}.yaml")
    if shown.returncode != 0:
        return None
    try:
        return design_facts(load(description.parsed(shown.stdout, base)), [])
    except (ConfigError, AdminError):
        return None


def _refuse_unknown(base: str) -> None:
    if _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}").returncode != 0:
        text = f"{base} is no revision of this repository"
        raise AdminError("base-unknown", text, observed=base, expected="a commit")


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@contextmanager
def _scratch(stack: str, config: Config) -> Iterator[Engine]:
    """The program in a directory of its own, with an empty state and credentials that open nothing."""
    with tempfile.TemporaryDirectory(prefix="nested-pve-report-") as name:
        directory = Path(name)
        for part in PROGRAM:
            (directory / part).symlink_to(ROOT / part)
        for file in ROOT.glob(f"Pulumi.{stack}.policy.json"):
            (directory / file.name).symlink_to(file)
        file = description.stack_file(stack)
        settings = description.parsed(file.read_text(), file.name)
        settings.pop(CREDENTIALS, None)
        (directory / file.name).write_text(yaml.safe_dump({"config": settings}))
        credentials = directory / "credentials.json"
        credentials.touch(mode=0o600)
        credentials.write_text(json.dumps(_worthless(config)))
        env = environment.for_engine() | {
            FILE_VARIABLE: str(credentials),
            BACKEND_VARIABLE: f"file://{directory}",
            "PULUMI_CONFIG_PASSPHRASE": "nothing is kept",
        }
        env.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        runner = engine.Engine(stack, env, directory)
        runner.create_stack()
        yield runner


def _worthless(config: Config) -> dict[str, Any]:
    """Credentials that have the right shape; a preview logs in nowhere."""
    key, public = host_keys.derive("report", "administrator").private_pem, host_keys.derive("report", "host").public
    return {
        "sshPrivateKey": key,
        "rootPassword": "no-password",
        "apiPassword": "no-password",
        "hostKeySeed": "00" * 32,
        "outerHosts": {host.name: {"password": "no-password", "hostKey": public} for host in config.outer_hosts},
        "nodes": {node.name: {"hostKey": public} for node in config.nodes},
    }
