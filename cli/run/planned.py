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
    from cli.report.live import Live
    from cli.run.loaded import LoadedStack


def show(loaded: LoadedStack, events: Sequence[Event], live: Live | None = None) -> list[Change]:
    """Print the changes, with what is known of guests that go; returns them.

    Args:
        loaded: the stack.
        events: of the engine's preview.
        live: the live cluster, if somebody looked at it.
    """
    from cli.report import fate, plan, terminal  # noqa: PLC0415 - slow to load, and a run that changes nothing needs it not
    from cli.report.live import is_asked  # noqa: PLC0415 - the same

    known = fate.evidence(loaded.state, loaded.looks.get(CLUSTER))
    previewed = plan.read(events)
    asked = is_asked(events)
    way = live.way(previewed.recorded, previewed.designed) if live is not None and asked else None
    changes = terminal.changes(previewed, known, way)
    differences = live.differences(previewed.recorded, acting=asked) if live is not None else []
    told = terminal.differences(differences, acting=asked)
    for line in (*map(terminal.line, changes), *told, *terminal.steps(previewed, way)):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    kept = chronicle.current()
    kept.changes = [chronicle.Remark(one.place, one.text, one.effect) for one in changes]
    kept.transitions = terminal.transitions(previewed, way)
    return changes


def show_design(loaded: LoadedStack, event: Event) -> None:
    """For a run that asks nobody: the engine comes to the design before it makes anything."""
    metadata = event.get("resourcePreEvent", {}).get("metadata", {})
    if metadata.get("op") == "update" and resource_name(metadata["urn"]) == "design":
        show(loaded, [event])
