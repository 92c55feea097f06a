"""The commands of daily work."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path  # noqa: TC003 - typer reads the types at run time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cli.console import err, stage
from cluster.errors import AdminError
from config import paths
from onnode.errors import StepError
from tools import attended

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cli.drift.model import Drift

Stack = Annotated[str, typer.Option(help="Which stack.")]
Node = Annotated[str, typer.Option(help="Which node of the stack.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

INTERRUPTED = 130  # the exit code that typer gives to a KeyboardInterrupt
SETTLE_S = 180.0  # machines that a run has started may still boot, and HA moves guests back to them

app = typer.Typer(help="Build the cluster and look after it.", no_args_is_help=True, add_completion=False)


@app.command()
def up(*, stack: Stack = "dev", yes: Yes = False) -> None:
    """Bring everything to what the stack file describes, then show the status. Asks before it changes anything."""
    _refuse_bad(stack)
    from cli.up import up as bring_up  # noqa: PLC0415 - each command loads only what it needs

    with _report_of("up", stack):
        done = bring_up(stack, yes=yes)
        # A run that changed nothing has just looked at everything. The status repeats what the run does not put right.
        _look(stack, patience_s=SETTLE_S if done.changed else 0, drifted=None if done.changed else done.left)


@app.command()
def adopt(
    *,
    stack: Stack = "dev",
    endpoint: Annotated[str, typer.Option(help="Of a live cluster's API: only write the stack file of it.")] = "",
    fingerprint: Annotated[str, typer.Option(help="With it: of the SSH host key of the machine there.")] = "",
    guests: Annotated[bool, typer.Option("--guests", help="With it: describe the guests that HA looks after.")] = False,
    yes: Yes = False,
) -> None:
    """Record everything that carries the stack's mark, when its state is lost; then do what `up` does."""
    if endpoint:
        from cli.adopt.command import adopt as write_stack_file  # noqa: PLC0415

        write_stack_file(stack, endpoint, fingerprint, guests=guests)
        return
    _refuse_bad(stack)
    from cli.up import up as bring_up  # noqa: PLC0415

    with _report_of("adopt", stack):
        bring_up(stack, yes=yes, adopting=True)
        _look(stack, patience_s=SETTLE_S, drifted=None)


@app.command()
def replace(
    *, stack: Stack = "dev", node: Annotated[str, typer.Option(help="The machine's name.")], yes: Yes = False
) -> None:
    """Wait for an existing machine that was lost and is being installed again; then do what `up` does."""
    _refuse_bad(stack)
    from cli.replace import wait_for  # noqa: PLC0415
    from cli.up import up as bring_up  # noqa: PLC0415

    with _report_of("replace", stack):
        wait_for(stack, node)
        bring_up(stack, yes=yes)
        _look(stack, patience_s=SETTLE_S, drifted=None)


def _refuse_bad(stack: str) -> None:
    from cli import description  # noqa: PLC0415

    description.refuse_bad(stack)


def _report_of(command: str, stack: str) -> AbstractContextManager[None]:
    from cli.run_report import leaving  # noqa: PLC0415

    return leaving.report(stack, command)


def _look(stack: str, *, patience_s: float, drifted: list[Drift] | None) -> None:
    from cli.status.command import status as look  # noqa: PLC0415

    with stage("Live status"):
        look(stack, as_json=False, patience_s=patience_s, drifted=drifted)


@app.command()
def preview(
    *,
    stack: Stack = "dev",
    look: Annotated[bool, typer.Option("--look", help="Look at the machines, too, and show what drifted.")] = False,
) -> None:
    """Show what `up` would change, checked by the policy pack. Without --look it logs in to no machine."""
    _refuse_bad(stack)
    from cli.preview import preview as show_preview  # noqa: PLC0415

    show_preview(stack, look=look)


@app.command()
def report(
    *,
    stack: Stack = "dev",
    base: Annotated[str, typer.Option(help="Git revision to compare with where no state can be read.")] = "",
    output: Annotated[Path | None, typer.Option(help="A file; standard output otherwise.")] = None,
) -> None:
    """Write what a change would do, as Markdown for a pull request. Exit code 1 when `up` would refuse the change."""
    from cli.report.command import report as written  # noqa: PLC0415

    text, passes = written(stack, base or None)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text)
    if not passes:
        raise typer.Exit(1)


@app.command()
def changed_stacks(*, base: Annotated[str, typer.Option(help="Git revision to compare with.")] = "") -> None:
    """Print the stacks whose inputs changed, as JSON; all of them without --base."""
    from cli.report.command import changed_stacks as changed  # noqa: PLC0415

    typer.echo(json.dumps(changed(base or None)))


@app.command()
def status(
    *, stack: Stack = "dev", as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Look at every node, and compare it with the stack file. Exit code 1 when something differs. Read-only."""
    _refuse_bad(stack)
    from cli.status.command import status as look  # noqa: PLC0415

    look(stack, as_json=as_json)


@app.command()
def drain(*, node: Node, stack: Stack = "dev") -> None:
    """Put a node into maintenance: its guests go to other nodes, and it gets none until `undrain`."""
    _refuse_bad(stack)
    from cli.rolling import commands  # noqa: PLC0415

    commands.drain(stack, node)


@app.command()
def undrain(*, node: Node, stack: Stack = "dev") -> None:
    """End a node's maintenance: HA brings back its guests."""
    _refuse_bad(stack)
    from cli.rolling import commands  # noqa: PLC0415

    commands.undrain(stack, node)


@app.command()
def reboot(*, stack: Stack = "dev", node: Node = "", yes: Yes = False) -> None:
    """Reboot one node or all, one after another: drained before, given back after. Asks first."""
    _refuse_bad(stack)
    from cli.rolling import commands  # noqa: PLC0415

    with _report_of("reboot", stack):
        commands.reboot(stack, node or None, yes=yes)


@app.command()
def upgrade(*, stack: Stack = "dev", node: Node = "", yes: Yes = False) -> None:
    """Upgrade the packages of one node or all, one after another. Shows what it would do, and asks."""
    _refuse_bad(stack)
    from cli.rolling import commands  # noqa: PLC0415

    with _report_of("upgrade", stack):
        commands.upgrade(stack, node or None, yes=yes)


@app.command()
def drill(*, node: Node = "", stack: Stack = "dev", yes: Yes = False) -> None:
    """Cut the power of a nested node, time each guest until it runs elsewhere, start the node again. Asks first."""
    _refuse_bad(stack)
    from cli.drill.command import drill as cut_power  # noqa: PLC0415

    with _report_of("drill", stack):
        cut_power(stack, node or None, yes=yes)
        _look(stack, patience_s=SETTLE_S, drifted=None)


@app.command()
def doctor(
    *, stack: Stack = "dev", as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Say what is wrong and why, before a first `up` and with a broken cluster. Exit code 1 for any cause. Changes nothing."""
    _refuse_bad(stack)
    from cli.doctor.command import doctor as examine  # noqa: PLC0415

    examine(stack, as_json=as_json)


@app.command()
def repair(
    *,
    stack: Stack = "dev",
    only: Annotated[str, typer.Option(help="Only repairs of this name.")] = "",
    lost: Annotated[str, typer.Option(help="Nodes that will never come back.")] = "",
    yes: Yes = False,
) -> None:
    """Mend what `doctor` names, one repair after another. Asks before each, and keeps first what it replaces."""
    _refuse_bad(stack)
    from cli.repair.command import repair as mend  # noqa: PLC0415

    with _report_of("repair", stack):
        mend(stack, only=only, lost=lost, yes=yes)


@app.command()
def down(*, stack: Stack = "dev", yes: Yes = False) -> None:
    """Destroy what the stack made. Asks first."""
    _refuse_bad(stack)
    from cli.down import down as take_down  # noqa: PLC0415

    with _report_of("down", stack):
        take_down(stack, yes=yes)


@app.command()
def reset(
    *, stack: Stack = "dev", node: Annotated[str, typer.Option(help="The machine's name.")], yes: Yes = False
) -> None:
    """Make an existing machine that left the cluster stand-alone again. Asks first."""
    _refuse_bad(stack)
    from cli.reset import reset as make_stand_alone  # noqa: PLC0415

    make_stand_alone(stack, node, yes=yes)


@app.command()
def shell(*, stack: Stack = "dev") -> None:
    """Open a shell in which `pulumi` works on the stack."""
    from cli.shell import environment_of  # noqa: PLC0415

    env = {**environment_of(stack, complete=False), "PULUMI_STACK": stack}
    program = os.environ.get("SHELL") or "/bin/bash"
    # Standard output belongs to what is called in the shell.
    err.print(f"pulumi {{preview,up,refresh,destroy}} --stack {stack}; leave with exit")
    os.chdir(paths.ROOT)
    os.execvpe(program, [program], env)  # noqa: S606


@app.command(name="environment")
def print_environment(*, stack: Stack = "dev") -> None:
    """Print the environment of `shell`, for `eval`."""
    from cli.engine import environment  # noqa: PLC0415
    from cli.shell import environment_of  # noqa: PLC0415

    typer.echo("\n".join(environment.for_eval(environment_of(stack), stack)))


@app.command(name="exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def execute(command: Annotated[list[str], typer.Argument(help="After --.")], *, stack: Stack = "dev") -> None:
    """Run one command as in `shell`."""
    from cli.shell import environment_of  # noqa: PLC0415

    env = environment_of(stack)
    os.chdir(paths.ROOT)
    try:
        os.execvpe(command[0], command, env)  # noqa: S606
    except OSError as error:
        raise AdminError("bad-call", f"{command[0]} cannot be run", observed=str(error)) from None


@app.command()
def docs() -> None:
    """Write docs/recovery.md."""
    from cli import recovery  # noqa: PLC0415

    recovery.write()


def main() -> None:
    """Run the command line. A refusal is printed with its name, and the exit code is 1; a traceback is never shown.

    What was interrupted has a name, too, and the exit code is 130.
    """
    attended.interrupt_once()
    try:
        app()
    except StepError as error:
        _report(error)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        _report(AdminError("run-interrupted", "the run was interrupted"), INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        from cluster.call import unexpected  # noqa: PLC0415

        _report(unexpected(error))


def _report(error: StepError, code: int = 1) -> NoReturn:
    err.print(f"\n{error.render()}", markup=False, soft_wrap=True)
    sys.exit(code)
