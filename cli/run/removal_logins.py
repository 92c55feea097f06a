"""What goes is removed with the keys and passwords of today, not with those of the run that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.console import out
from cli.engine.failures import resource_name
from cli.run import engine_runs
from cli.run.loaded import EMPTY
from cli.state import logins

if TYPE_CHECKING:
    from cli.run.loaded import LoadedStack


def renewed(loaded: LoadedStack, *, all_goes: bool) -> LoadedStack:
    """The stack in whose state the logins of what goes are today's.

    Args:
        loaded: the stack.
        all_goes: all of it; otherwise a preview finds out what.
    """
    if not loaded.has_resources:
        return loaded
    shown, today = loaded.engine.export(in_clear=True) or EMPTY, logins.today(loaded.description)
    urns = logins.outdated(shown, today)
    if urns and not all_goes:
        urns &= logins.going(engine_runs.run(loaded, "preview", quiet=True).events)
    if not urns:
        return loaded
    loaded = loaded.recording(logins.renewed(loaded.state, shown, today, urns))
    names = ", ".join(sorted(map(resource_name, urns)))
    out.print(f"  logins have changed; these are removed with the current ones: {names}", markup=False, soft_wrap=True)
    return loaded
