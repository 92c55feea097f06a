"""Runs of the engine on a loaded stack: followed on the screen, and failed by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import out
from cli.engine import failures, policies
from cli.run.narration import Narrator
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.engine.engine import Event, Run
    from cli.run.loaded import LoadedStack

# With the credentials of today: the recorded ones of a provider may be wrong, or changed since.
REFRESH = ("--refresh", "--run-program")


class RunError(StepError):
    """A run of the engine failed; carries what went wrong, each failure by its own name."""

    def __init__(self, found: list[failures.Failure]) -> None:
        super().__init__(found[0].code, found[0].text, fix="run the same command again")
        self.failures = found

    def render(self) -> str:
        """Every failure once."""
        return "\n\n".join(failure.text for failure in self.failures)


def judged(
    loaded: LoadedStack, operation: str, *arguments: str, on_event: Callable[[Event], None] | None = None
) -> Run:
    """Run the engine under the policy pack; prints the advice of its rules, too.

    Raises:
        RunError: as :func:`run`; AdminError: policies-invalid.
    """
    made = run(loaded, operation, *policies.arguments(loaded.engine.stack), *arguments, on_event=on_event)
    for line in policies.verdict_lines(made):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    return made


def run(
    loaded: LoadedStack,
    operation: str,
    *arguments: str,
    on_event: Callable[[Event], None] | None = None,
    quiet: bool = False,
) -> Run:
    """Run the engine.

    Args:
        loaded: the stack.
        operation: of `pulumi`.
        arguments: further ones.
        on_event: called with each event.
        quiet: print no line for each resource.

    Raises:
        RunError: the run failed.
    """
    kept = chronicle.current().run(operation)
    with Narrator(loaded.adopting) as narrator:

        def follow(event: Event) -> None:
            kept.hear(event)
            if not quiet:
                narrator(event)
            if on_event is not None:
                on_event(event)

        made = loaded.engine.run(operation, *arguments, on_event=follow)
    if made.exit_code != 0:
        log = loaded.engine.log(operation)
        shown = log.relative_to(Path.cwd()) if log.is_relative_to(Path.cwd()) else log
        raise RunError(failures.explain(made, str(shown)))
    return made
