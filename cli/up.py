"""`up` and `adopt`: bring a stack to what is described."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cli.console import out, stage
from cli.drift import record
from cli.drift.kinds import BY_HAND, SILENT
from cli.engine.failures import resource_name
from cli.looks import preparing, settling
from cli.run import (
    confirmation,
    drifted,
    engine_runs,
    loading,
    looking,
    outdated_record,
    planned,
    reconciling,
    removal_logins,
)
from cli.run.engine_runs import RunError
from cli.run.narration import summary
from cli.state import last_design
from cli.state.belongings import CLUSTER
from cluster import catching_up
from cluster.errors import AdminError
from cluster.transport.nodes import NodeStepError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.drift.model import Drift
    from cli.engine.engine import Event, Run
    from cli.looks.first_look import FirstLook
    from cli.run.loaded import LoadedStack


@dataclass(frozen=True)
class Result:
    """How a run ended: whether anything was changed, and what drifted that it does not put right."""

    changed: bool
    left: list[Drift]


def up(stack: str, *, yes: bool, adopting: bool = False) -> Result:
    """Bring the stack to what is described.

    Args:
        stack: which one.
        yes: ask nobody.
        adopting: record what carries the stack's mark, though the state knows nothing of it.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    loaded, seen = _loaded(stack, yes=yes, adopting=adopting)
    with stage("Guests, and what drifted"):
        looking.let_guests_settle(loaded, seen)
        looking.tell_maintenance(seen)
        found = seen.drifted_of(loaded.state)
        drifted.show(found)
        loaded = removal_logins.renewed(drifted.recorded(loaded, found), all_goes=False)
    if record.cannot_log_in(loaded.state, found):
        _put_access_back(loaded, seen, yes=yes)
    loaded, refresh = drifted.refreshed(loaded, found)
    if not yes:
        _confirm_plan(loaded, refresh)
    with stage("Run"):
        run = apply(loaded, refresh, on_event=partial(planned.show_design, loaded) if yes else None)
        out.print(f"  {summary(run.events)}")
    drifted.without_added(loaded, found)
    return Result(bool(run.changed), [one for one in found if one.kind in (*BY_HAND, SILENT)])


def _loaded(stack: str, *, yes: bool, adopting: bool) -> tuple[LoadedStack, FirstLook]:
    """The stack compared with its machines, all of its nodes with power."""
    with stage("Configuration, state and machines"):
        loaded = outdated_record.with_todays_names(loading.load(stack, yes=yes, new=adopting))
        loaded = replace(loaded, adopting=adopting)
        loaded, seen = _compared(loaded)
    if off := record.powered_off(loaded.state, seen.drifted):
        loaded = _started(loaded, off, yes=yes)
    cluster = loaded.description.config.cluster.name
    in_doubt = off or catching_up.without_vote(cluster, seen.memberships, seen.answering)
    if (in_doubt and _caught_up(loaded, yes=yes)) or off:
        with stage("A second look at all machines"):
            settling.wait(loaded.description, loaded.state)
            loaded, seen = _compared(loaded)
    return loaded, seen


def _compared(loaded: LoadedStack) -> tuple[LoadedStack, FirstLook]:
    loaded, seen = looking.at_machines(loaded)
    return reconciling.with_machines(loaded), seen


def _started(loaded: LoadedStack, off: list[Drift], *, yes: bool) -> LoadedStack:
    """Start nodes that are off before anything is refreshed: when one is back, HA moves guests home to it."""
    drifted.show(off)
    if not yes:
        confirmation.confirm("Start these nodes first?")
    with stage(f"Start of {', '.join(one.where for one in off)}"):
        loaded = drifted.recorded(loaded, off)
        preparing.start(loaded.description, {resource_name(one.urn) for one in off})
        return loaded


def _caught_up(loaded: LoadedStack, *, yes: bool) -> bool:
    """Give members that were off what they missed: until they vote, no membership of any node may last.

    One that finds no quorum with it lacks something else, such as its links: what the engine runs says that.
    """
    late = preparing.behind(loaded.description)
    if not late:
        return False
    names = ", ".join(late)
    out.print(f"  {names}: no vote, and a corosync.conf from before the cluster changed", markup=False, soft_wrap=True)
    if not yes:
        confirmation.confirm(f"Start corosync of {names} with the cluster's corosync.conf first?")
    with stage(f"The cluster's corosync.conf on {names}"):
        try:
            return preparing.catch_up(loaded.description)
        except NodeStepError as error:
            if error.code != "no-quorum":
                raise
            told = f"{error.machine}: no quorum even with it, so something else is amiss there; the run goes on"
            out.print(f"  {told}", markup=False, soft_wrap=True)
            return True


def _put_access_back(loaded: LoadedStack, seen: FirstLook, *, yes: bool) -> None:
    """Put back the user of the cluster's API, before the engine logs in as it."""
    if not yes:
        confirmation.confirm("The API user of the cluster was changed, so nothing can be refreshed. Put it back first?")
    with stage("Access to the cluster's API"):
        changed = preparing.put_access_back(loaded.description, seen.looks.get(CLUSTER, []))
        user = loaded.description.config.cluster.api.user
        out.print(f"  {user}: {'put back' if changed else 'unchanged'}")


def _confirm_plan(loaded: LoadedStack, refresh: Sequence[str]) -> None:
    with stage("Preview"):
        plan = engine_runs.judged(loaded, "preview", *refresh)
    planned.show(loaded, plan.events)
    out.print(f"  planned: {summary(plan.events, to_check=loaded.adopting)}")
    if plan.changed:
        confirmation.confirm("Make these changes?")


def apply(loaded: LoadedStack, refresh: Sequence[str], on_event: Callable[[Event], None] | None = None) -> Run:
    """Run the engine's update.

    A VM that somebody else made in the moment in which the run made its own is recorded by then, and forgotten again.
    The design of a run that failed is not what is built: the one before stays recorded.

    Raises:
        RunError: the run failed.
    """
    try:
        return engine_runs.judged(loaded, "up", "--yes", "--skip-preview", *refresh, on_event=on_event)
    except RunError as error:
        with suppress(AdminError):  # why the run failed counts more
            failed = loaded.exported()
            failed.recording(last_design.kept(loaded.state, failed.state))
        if any(failure.code == "foreign-vmid" for failure in error.failures):
            reconciling.forget_foreign(loaded)
        raise
