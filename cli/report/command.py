"""Makes the report: from the recorded state, or, if that cannot be read, by comparing stack files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli import description
from cli.engine import engine, environment, failures, policies
from cli.report import base, levels, stacks
from cli.report.described import whole
from cli.report.markdown import render
from cli.report.plan import Plan, read
from cli.report.report import Report
from cli.report.scratch import scratch
from cluster.errors import AdminError
from components.policed import plain_secrets
from config import credentials
from config.errors import ConfigError
from config.load import load
from config.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from cli.engine.engine import Engine
    from cli.report.levels import Level
    from config.model import Config
    from config.stack_file import StackFile

# Why the recorded state cannot be read, in few words; the configuration itself is valid by then.
WHY = {
    "stack-secrets": "its secrets, or its backend, cannot be read here",
    "stack-state-missing": "it is not kept here",
    "engine-failed": "the backend does not give it",
}
NOTHING = Plan([], [], [], [], None, None)
WITH_STATE = "Compared with the recorded state; no host was touched."
OLDER = " An earlier version of this program recorded less; what it did not record is not compared."
GONE = (
    "The stack file is deleted. What it described stays as it is, and nothing here can change or destroy it afterwards."
)
NOT_IN_FILES = "nothing is recorded of this stack in the files here"
NEVER_MADE = "nothing is recorded of this stack, so everything is new"
NO_REVISION = "everything is new"
NO_SUCH_STACK = "`{}` has no such stack, so everything is new"
OTHER_PROGRAM = " The program changed, too: only the recorded state can show what that does to machines that run."


@dataclass(frozen=True)
class _Described:
    """A stack whose configuration is right."""

    stack: str
    written: StackFile
    config: Config
    levels: list[Level]


def report(stack: str, revision: str | None) -> tuple[str, bool]:
    """The report as Markdown, and whether `up` would go through.

    Args:
        stack: which stack.
        revision: a Git revision to compare with, where no state can be read.

    Raises:
        AdminError: stack-unknown, base-unknown, toolchain-missing.
    """
    if revision is not None:
        base.refuse_unknown(revision)
    made = _report(stack, revision)
    return render(made), not made.refusals


def changed_stacks(revision: str | None) -> list[str]:
    """The stacks whose inputs differ from a Git revision, as far as they are committed; all of them without one.

    Raises:
        AdminError: base-unknown.
    """
    there = description.stacks()
    if revision is None:
        return there
    base.refuse_unknown(revision)
    changed = base.changed_files(revision)
    return stacks.touched([*there, *stacks.gone(changed, there)], changed)


def _report(stack: str, revision: str | None) -> Report:
    name = f"Pulumi.{stack}.yaml"
    if revision is not None and not (ROOT / name).exists() and base.file(revision, name) is not None:
        return Report(stack, NOTHING, None, GONE, is_gone=True)
    file = description.stack_file(stack)
    set_rules: list[Level] = []
    try:
        set_rules = _levels(stack, revision)
        described = _described(stack, file, set_rules)
    except (ConfigError, AdminError) as error:
        return _not_right(stack, error, set_rules)
    env = environment.for_engine()
    try:
        runner, why = _readable(stack, env)
        return _with_state(described, runner) if runner else _without_state(described, revision, why)
    except description.InvalidConfigError as error:  # the engine refuses the file
        return _not_right(stack, error, set_rules)


def _not_right(stack: str, error: ConfigError | AdminError, set_rules: list[Level]) -> Report:
    problem = error.render() if isinstance(error, AdminError) else str(error)
    basis = f"Pulumi.{stack}.yaml was checked; there is no preview."
    return Report(stack, NOTHING, None, basis, problems=[problem], levels=set_rules)


def _described(stack: str, file: Path, set_rules: list[Level]) -> _Described:
    written = description.written(file.read_bytes(), file.name)
    config = load(written.settings)
    credentials.refuse_plain(written.settings, written.encrypted)
    return _Described(stack, written, config, set_rules)


def _readable(stack: str, env: dict[str, str]) -> tuple[Engine | None, str]:
    """The engine, where it can read the stack's recorded state; else why it cannot."""
    from cli.looks import trust  # noqa: PLC0415 - slow to load, and a file that is not right needs it not

    try:
        environment.put_back_state(env, stack)
        runner = engine.Engine(stack, env | trust.at_seed(description.read(stack, env).config))
        state = runner.export()
    except description.NoCredentialsError:
        return None, "there are no credentials here"
    except description.InvalidConfigError:
        raise
    except AdminError as error:
        return None, WHY.get(error.code, error.what)
    if state is not None:
        return runner, ""
    return None, NOT_IN_FILES if environment.file_backend(env) else NEVER_MADE


def _with_state(described: _Described, runner: Engine) -> Report:
    plan = _previewed(runner)
    basis = WITH_STATE + (OLDER if plan.recorded_is_older else "")
    return Report(described.stack, plan, plan.recorded, basis, levels=described.levels)


def _without_state(described: _Described, revision: str | None, why: str) -> Report:
    with scratch(described.stack, described.config) as runner:
        plan = _previewed(runner)
    if why == NEVER_MADE:
        return Report(described.stack, plan, None, f"Nothing is compared: {why}.", levels=described.levels)
    before, compared = _before(described.stack, revision)
    basis = f"Without the recorded state ({why}): {compared}, and the policies judged a plan that creates everything."
    if revision is not None and before is not None and stacks.has_program(base.differing_files(revision)):
        basis += OTHER_PROGRAM
    after = whole(described.config, _plain(described.written))
    is_new = compared in (NO_REVISION, NO_SUCH_STACK.format(revision))
    return Report(described.stack, plan, before, basis, applied=is_new, after=after, levels=described.levels)


def _before(stack: str, revision: str | None) -> tuple[dict[str, Any] | None, str]:
    """The design at a revision, and in few words what is compared."""
    if revision is None:
        return None, NO_REVISION
    text = base.file(revision, f"Pulumi.{stack}.yaml")
    if text is None:
        return None, NO_SUCH_STACK.format(revision)
    try:
        written = description.written(text, revision)
        return whole(
            load(written.settings), _plain(written)
        ), f"the stack files of `{revision}` and this change were compared"
    except (ConfigError, AdminError):
        return None, f"the stack file of `{revision}` is not right, so that nothing could be compared"


def _plain(written: StackFile) -> list[str]:
    return plain_secrets(written.settings, written.encrypted)


def _previewed(runner: Engine) -> Plan:
    run = runner.run("preview", *policies.arguments(runner.stack), on_event=lambda _event: None)
    plan = read(run.events)
    if run.exit_code != 0 and not plan.has_failed:
        plan.errors.append(failures.error_lines(run.output))
    return plan


def _levels(stack: str, revision: str | None) -> list[Level]:
    files = (f"{policies.PACK}/PulumiPolicy.yaml", policies.settings_file(stack))
    policies.check(stack)
    now = levels.parsed(*(_text(ROOT / name) for name in files))
    if revision is None:
        return levels.levels(now, None)
    try:
        return levels.levels(now, levels.parsed(*(base.file(revision, name) for name in files)))
    except ValueError:
        return levels.levels(now, {})


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
