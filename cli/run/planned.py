"""The changes of the design that a run would make, shown as in the report on a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import out
from cli.engine.failures import resource_name
from cli.state.belongings import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.engine.engine import Event
    from cli.report.changes import Change
    from cli.run.loaded import LoadedStack


def show(loaded: LoadedStack, events: Sequence[Event]) -> list[Change]:
    """Print the changes, with what is known of guests that go; returns them."""
    # Slow to load, and a run that changes nothing needs it not.
    from cli.report import fate, plan, terminal  # noqa: PLC0415

    known = fate.evidence(loaded.state, loaded.looks.get(CLUSTER))
    previewed = plan.read(events)
    changes = terminal.changes(previewed, known)
    for line in (*map(terminal.line, changes), *terminal.steps(previewed)):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    kept = chronicle.current()
    kept.changes = [chronicle.Remark(one.place, one.text, one.effect) for one in changes]
    kept.transitions = terminal.transitions(previewed)
    return changes


def show_design(loaded: LoadedStack, event: Event) -> None:
    """For a run that asks nobody: the engine comes to the design before it makes anything."""
    metadata = event.get("resourcePreEvent", {}).get("metadata", {})
    if metadata.get("op") == "update" and resource_name(metadata["urn"]) == "design":
        show(loaded, [event])
