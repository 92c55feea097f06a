"""What drifted: shown, and written into the state so that the run puts it right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import out, stage
from cli.drift import record
from cli.drift.kinds import ADDED, BY_HAND, BY_REFRESH, PASSING, REMADE, SILENT, UNDESCRIBED
from cli.looks import devices_at_risk, image_check
from cli.run import engine_runs
from cli.run.engine_runs import REFRESH
from cli.state import added_devices, belongings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cli.drift.model import Drift
    from cli.run.loaded import LoadedStack

_SHOWN = {SILENT: "not looked at", UNDESCRIBED: "not described", PASSING: "locked"}
_SHOWN |= dict.fromkeys(ADDED, "left as it is")
_SHOWN |= dict.fromkeys(BY_HAND, "not mended by `make up`")


def show(found: Sequence[Drift]) -> None:
    """Print a line for each."""
    for one in found:
        kind = _SHOWN.get(one.kind, "drifted")
        step = f"; {one.next}" if one.kind == UNDESCRIBED else ""
        chronicle.current().drifted.append(chronicle.Remark(one.where, one.what, kind))
        out.print(f"  {kind}: {one.where}: {one.what}{step}", markup=False, soft_wrap=True)


def recorded(loaded: LoadedStack, found: list[Drift]) -> LoadedStack:
    """Mark in the state what drifted: the engine then shows it, and runs exactly these steps.

    Raises:
        AdminError: device-not-described, image-unreadable.
    """
    devices_at_risk.refuse(loaded.description.config, loaded.state, found)
    remade = {one.name for one in found if one.kind == REMADE}
    described = belongings.described(loaded.description)
    image_check.intact(loaded.description, [thing for thing in described if thing.logical in remade])
    return loaded.recording(record.marked(loaded.state, found))


def refreshed(loaded: LoadedStack, found: Collection[Drift]) -> tuple[LoadedStack, Sequence[str]]:
    """The stack, and the arguments with which its run refreshes.

    Where users added network cards to VMs or ports to bridges, the refresh is a run of its own, before the arguments are
    none: a refresh records these, and a run that goes on from there takes the cards away, and shows a change of the ports.
    """
    refresh = REFRESH if loaded.has_resources else ()
    if not any(one.kind in BY_REFRESH for one in found):
        return loaded, refresh
    with stage("Refresh"):
        engine_runs.run(loaded, "refresh", "--yes", "--skip-preview", "--run-program")
        return without_added(loaded, found), ()


def without_added(loaded: LoadedStack, found: Collection[Drift]) -> LoadedStack:
    """Take what users added out of the state: the next update leaves it alone, also that of plain `pulumi`."""
    if not any(one.kind in BY_REFRESH for one in found):
        return loaded
    loaded = loaded.exported()
    return loaded.recording(added_devices.forgotten(loaded.state))
