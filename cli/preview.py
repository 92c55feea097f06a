"""`preview`: show what `up` would change, and touch no machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli import description
from cli.console import out, stage
from cli.drift import forthcoming, record
from cli.drift.scratch import scratch
from cli.engine import engine, environment
from cli.looks import devices_at_risk, preparing, trust
from cli.report import live
from cli.report.known import Mark
from cli.run import drifted, engine_runs, looking, outdated_record, planned, reconciling
from cli.run.engine_runs import RunError
from cli.run.loaded import EMPTY, LoadedStack
from cli.run.narration import summary
from cli.state import moved_vms, recorded_guests, site_instance
from cluster import catching_up
from cluster.errors import AdminError
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.description import Description
    from cli.drift.model import Drift
    from cli.engine.engine import Event
    from cli.looks.first_look import FirstLook
    from cli.report.changes import Change
    from cli.report.live import Live

UNRECORDED = (
    "  nothing is recorded of stack {stack} here, so everything is planned as new. That is right for a stack that was never "
    "built. If it exists already, run this where its state is kept, or restore .nested-pve/state; if the state is lost, "
    "`make adopt STACK={stack}` records what exists"
)
TAKEN_DOWN = "  stack {stack} was destroyed on {when:%Y-%m-%d at %H:%M}, so everything is planned as new"
BEHIND = (
    "  {names}: no vote, and a corosync.conf from before the cluster changed; `make up` first starts corosync there with that of the "
    "cluster"
)
WITHOUT_REFRESH = (
    "\n  the plan is not complete: the API user of the cluster was changed, and the engine cannot read the cluster without "
    "it. `make up` puts the user back first; then it also corrects the guests, HA and cluster options that drifted"
)


def preview(stack: str, *, look: bool = False) -> None:
    """Show what `up` would change, under the policy pack.

    Args:
        stack: which.
        look: look at every machine, too, and show what drifted as changes; otherwise no machine is touched.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    with stage("Configuration and state"):
        loaded = _loaded(stack, look=look)
    if not loaded.has_resources:
        out.print(why_new(stack, loaded.engine.last_run()), markup=False, soft_wrap=True)
    # Only a run records that guests have other names.
    state, renamed = recorded_guests.renamed(loaded.description, loaded.state)
    if look:
        show_drift(replace(loaded, state=state))
        return
    if renamed:
        with scratch(loaded.engine, state) as copied:
            show(replace(loaded, engine=copied, state=state))
    else:
        show(loaded)
    # The recorded design may be that of a run of the engine alone, which was refused.
    recorded_guests.refuse_others(loaded.description, state, ())


def why_new(stack: str, last_run: dict[str, Any]) -> str:
    """Why nothing is recorded, in words; pure."""
    if (last_run.get("kind"), last_run.get("result")) != ("destroy", "succeeded"):
        return UNRECORDED.format(stack=stack)
    return TAKEN_DOWN.format(stack=stack, when=datetime.fromisoformat(last_run["endTime"]).astimezone())


def _loaded(stack: str, *, look: bool) -> LoadedStack:
    env = environment.for_engine()
    environment.put_back_state(env, stack)
    described = description.read(stack, env)
    if look:
        site_instance.refuse_shared(stack, environment.file_backend(env))
    runner = engine.Engine(stack, env | trust.settings(stack, described.config))
    state = runner.export()
    if state is None:
        runner.create_stack()
        state = runner.export()
    else:
        site_instance.refuse_gone(state)
        state = outdated_record.rewritten(runner, state)
    return LoadedStack(described, runner, state or EMPTY)


def show(loaded: LoadedStack, refresh: Sequence[str] = (), cluster: Live | None = None) -> list[Event]:
    """Run the engine's preview and show it; its events.

    Args:
        loaded: the stack.
        refresh: arguments with which the engine refreshes.
        cluster: the live one, if somebody looked at it: the plan begins there.

    Raises:
        RunError: the preview failed, or a rule refuses the plan; AdminError: change-refused.
        StepError: what the run would say of the live cluster.
    """
    with stage("Preview"):
        run = engine_runs.judged(loaded, "preview", *refresh)
        changes = planned.show(loaded, run.events, cluster)
        out.print(f"  planned: {summary(run.events)}")
        if cluster is not None:
            cluster.refuse(run.events)
        _refuse(changes)
    return run.events


def _refuse(changes: Sequence[Change]) -> None:
    """Refuse what `up` would refuse when it comes to it: a preview that ends well may be relied on."""
    refused = [change.sentence for change in changes if change.mark is Mark.REFUSED]
    if refused:
        raise AdminError(
            "change-refused",
            "`up` would refuse this change",
            observed="; ".join(refused),
            expected="a change that this program makes on a cluster that is built",
        )


def show_drift(loaded: LoadedStack) -> None:
    """Show what `up` would refuse or do after its look, over a copy of the state; changes nothing on any machine.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    with stage("Machines"):
        loaded, seen = looking.at_machines(loaded, all_hosts=False)
        found = _drifted(loaded, seen)
    state = record.marked(loaded.state, found)
    # Without its user nothing of the cluster can be refreshed: the steps' changes are shown all the same.
    refreshes = loaded.has_resources and not record.cannot_log_in(state, found)
    if refreshes:
        with stage("Guests"):
            looking.let_guests_settle(loaded, seen)
    elif loaded.has_resources:
        out.print(WITHOUT_REFRESH, markup=False, soft_wrap=True)
    with scratch(loaded.engine, state) as copied:
        with stage("State as a run would record it"):
            loaded = reconciling.with_machines(replace(loaded, engine=copied).exported(), acting=False)
        loaded, refresh = drifted.refreshed(loaded, found) if refreshes else (loaded, ())
        events = show(loaded, refresh, live.of(loaded.description, loaded.state, seen))
    refuse_planned(loaded, events, seen)


def _drifted(loaded: LoadedStack, seen: FirstLook) -> list[Drift]:
    """What drifted, shown; a refusal of `up` is raised here, too."""
    followed = moved_vms.follow(loaded.description, loaded.state, loaded.looks)[0]
    reconciling.findings(replace(loaded, state=followed))
    found = seen.drifted_of(loaded.state)
    drifted.show([*found, *seen.unrecorded_silent])
    if seen.silent:
        whom = "for these machines" if seen.looks or seen.answering else "no machine answered:"
        out.print(f"  {whom} the plan uses what is recorded", markup=False, soft_wrap=True)
    devices_at_risk.refuse(loaded.description.config, loaded.state, found)
    _tell_behind(loaded.description, seen)
    return found


def _tell_behind(described: Description, seen: FirstLook) -> None:
    """Say which members missed a change of the cluster: they get it before anything else is done."""
    in_doubt = catching_up.without_vote(described.config.cluster.name, seen.memberships, seen.answering)
    late: list[str] = []
    if in_doubt:
        with suppress(StepError):  # a preview is made without that, too; `make up` says why nobody can tell
            late = preparing.behind(described)
    if late:
        out.print(BEHIND.format(names=", ".join(late)), markup=False, soft_wrap=True)


def refuse_planned(loaded: LoadedStack, events: Sequence[Event], seen: FirstLook) -> None:
    """Refuse what planned steps would refuse: nothing is recorded of these, and only the plan says what they are given.

    Raises:
        RunError: with what the steps would say.
    """
    steps = forthcoming.planned(events)
    if not steps:
        return
    with stage("Planned steps"):
        found = forthcoming.forecast(loaded.description, steps, seen.answering | seen.looks.keys())
        if found.silence:
            out.print(f"  {found.silence}", markup=False, soft_wrap=True)
    if found.refused:
        raise RunError(found.refused)
