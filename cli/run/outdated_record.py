"""A state that an earlier version or an adoption recorded in a form that is not today's, rewritten before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.console import out
from cli.run import loaded as loaded_stack
from cli.state import changeover, rearming, recorded_guests

if TYPE_CHECKING:
    from rich.console import Console

    from cli.engine.engine import Engine
    from cli.run.loaded import LoadedStack, State


def rewritten(engine: Engine, state: State, console: Console = out) -> State:
    """The state in today's form: the engine would delete what the program does not know any more.

    Args:
        engine: which records it.
        state: as it is recorded.
        console: where the user is informed.
    """
    todays = changeover.with_todays_steps(state)
    if todays != state:
        console.print(
            "  this version records steps in another form: their record is rewritten, and no step runs for that"
        )
        state = loaded_stack.record(engine, state, todays)
    if not changeover.old_storages(state):
        return state
    console.print(
        "  this version manages storages by steps: their record is rewritten, and the storages stay as they are"
    )
    return loaded_stack.record(engine, state, changeover.changed_over(state, engine.stack))


def with_todays_names(loaded: LoadedStack) -> LoadedStack:
    """The stack in whose state guests have the names that they are described with."""
    state, names = recorded_guests.renamed(loaded.description, loaded.state)
    if names:
        out.print(f"  recorded under another name now: {', '.join(names)}", markup=False, soft_wrap=True)
    return loaded.recording(state)


def armed(loaded: LoadedStack) -> LoadedStack:
    """The stack in whose state no bridge is removed without a dead man's switch."""
    state = rearming.armed(loaded.state)
    if state == loaded.state:
        return loaded
    out.print(
        "  a bridge was recorded without its guard, which undoes the removal if that cuts the host off: now it has one"
    )
    return loaded.recording(state)
