"""The commands that run the engine: up, preview, down."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import description, environment, first_secrets
from cli.drift import forthcoming, record, whose
from cli.drift.kinds import ADDED, ANEW, BY_HAND, BY_REFRESH, PASSING, SILENT, UNDESCRIBED
from cli.drift.scratch import scratch
from cli.engine import engine, failures, locks, policies, run_record, trust
from cli.engine.failures import resource_name
from cli.looks import belongings, dead_nodes, devices_at_risk, first_look, images, preparing, settling, withdrawal
from cli.narration import Narrator, err, out, stage, summary
from cli.state import (
    added_devices,
    adoption,
    changeover,
    interrupted,
    logins,
    moved_vms,
    namesakes,
    rearming,
    site_instance,
    state_files,
    vanished,
)
from cluster import guests_inside, marks
from cluster.errors import AdminError
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cli.description import Description
    from cli.drift.model import Drift
    from cli.engine.engine import Event
    from cli.looks.first_look import Found
    from cluster.marks import Look, Thing

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


@dataclass(frozen=True)
class Place:
    """A stack, ready to be worked on.

    Attributes:
        looks: what the machines showed; nobody looked at others.
        adopting: what is there is being recorded.
    """

    description: Description
    engine: engine.Engine
    state: dict[str, Any]
    looks: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    adopting: bool = False

    @property
    def has_resources(self) -> bool:
        """Whether there is something to refresh."""
        return bool(self.state["deployment"].get("resources"))


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
        adopting: what carries the stack's mark is recorded, though the state knows of nothing at all.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    with stage("Configuration, state and machines"):
        place = replace(_prepare(stack, yes=yes, new=adopting), adopting=adopting)
        place, seen = _looked_at(place, adopting=adopting)
    if off := record.powered_off(place.state, seen.drifted):
        place = _started(place, off, yes=yes)
        with stage("Nodes that were off, and a second look"):
            settling.wait(place.description, place.state)
            place, seen = _looked_at(place, adopting=adopting)
    with stage("Guests, and what drifted"):
        _let_guests_settle(place, seen)
        found = seen.drifted_of(place.state)
        place = _with_todays_logins(_to_be_done_again(place, found), all_goes=False)
    if record.cannot_log_in(place.state, found):
        _put_access_back(place, seen, yes=yes)
    place, refresh = _refreshed(place, found)
    if not yes:
        with stage("Preview"):
            planned = _judged(place, "preview", *refresh)
        _tell(place, planned.events)
        out.print(f"  planned: {summary(planned.events, to_check=adopting)}")
        if planned.changed:
            confirm("Make these changes?")
    with stage("Run"):
        run = _made(place, refresh, on_event=partial(_tell_of_design, place) if yes else None)
        out.print(f"  {summary(run.events)}")
    _without_added(place, found)
    return Result(bool(run.changed), [one for one in found if one.kind in (*BY_HAND, SILENT)])


def _looked_at(place: Place, *, adopting: bool) -> tuple[Place, Found]:
    seen = first_look.look(place.description, place.state)
    place = replace(_trusting(place, seen.trusted), looks=seen.looks)
    return _compared_with_machines(place, seen.looks, adopting=adopting), seen


def _let_guests_settle(place: Place, seen: Found) -> None:
    """The refresh asks for each guest at the node that had it a moment ago."""
    dead_nodes.wait_for_recovery(place.description, place.state)
    settling.wait(place.description, place.state, seen.cluster)


def _made(place: Place, refresh: Sequence[str], on_event: Callable[[Event], None] | None = None) -> engine.Run:
    """The run itself. A VM that somebody made in the very moment of ours is recorded by then, and forgotten again."""
    try:
        return _judged(place, "up", "--yes", "--skip-preview", *refresh, on_event=on_event)
    except RunError as error:
        if any(failure.code == "foreign-vmid" for failure in error.failures):
            _without_foreign(replace(place, state=place.engine.export() or _EMPTY))
        raise


def _with_todays_logins(place: Place, *, all_goes: bool) -> Place:
    """What goes is removed with the keys and passwords of today, not with those of the run that made it.

    Args:
        place: the stack.
        all_goes: otherwise a plan says what does.
    """
    if not place.has_resources:
        return place
    shown, today = place.engine.export(in_clear=True) or _EMPTY, logins.today(place.description)
    urns = logins.outdated(shown, today)
    if urns and not all_goes:
        urns &= logins.going(_run(place, "preview", quiet=True).events)
    if not urns:
        return place
    state = _recorded(place.engine, place.state, logins.renewed(place.state, shown, today, urns))
    names = ", ".join(sorted(map(resource_name, urns)))
    out.print(f"  removed with the logins of today, which have changed: {names}", markup=False, soft_wrap=True)
    return replace(place, state=state)


def _refreshed(place: Place, found: Collection[Drift]) -> tuple[Place, Sequence[str]]:
    """The arguments with which a run refreshes; or, where users added cards to VMs or ports to bridges, the place after one.

    A refresh records these; a run that goes on from there takes the cards away, and shows a change of the ports.
    """
    refresh = REFRESH if place.has_resources else ()
    if not any(one.kind in BY_REFRESH for one in found):
        return place, refresh
    with stage("Refresh"):
        _run(place, "refresh", "--yes", "--skip-preview", "--run-program")
        return _without_added(place, found), ()


def _without_added(place: Place, found: Collection[Drift]) -> Place:
    """Take out of the record what users added: the next update leaves it alone, also that of plain `pulumi`."""
    if not any(one.kind in BY_REFRESH for one in found):
        return place
    state = place.engine.export() or _EMPTY
    without = added_devices.forgotten(state)
    return replace(place, state=state if without == state else _recorded(place.engine, state, without))


def _to_be_done_again(place: Place, found: list[Drift]) -> Place:
    """Tell what drifted, and record it, so that the engine shows it and runs exactly these steps."""
    _tell_of_drift(found)
    devices_at_risk.refuse(place.description.config, place.state, found)
    anew = {one.name for one in found if one.kind == ANEW}
    images.intact(place.description, [need for need in belongings.wanted(place.description) if need.logical in anew])
    state = record.marked(place.state, found)
    return place if state == place.state else replace(place, state=_recorded(place.engine, place.state, state))


_TOLD = {SILENT: "not looked at", UNDESCRIBED: "not described", PASSING: "locked"}
_TOLD |= dict.fromkeys(ADDED, "left as it is")


def _tell_of_drift(found: Sequence[Drift]) -> None:
    for one in found:
        kind = _TOLD.get(one.kind, "drifted")
        step = f"; {one.next}" if one.kind == UNDESCRIBED else ""
        out.print(f"  {kind}: {one.where}: {one.what}{step}", markup=False, soft_wrap=True)


def _started(place: Place, off: list[Drift], *, yes: bool) -> Place:
    """Nodes that are off, before anything is refreshed: when one is back, HA moves guests home to it."""
    if not yes:
        _tell_of_drift(off)
        confirm("These nodes are powered off. Start them, before all else is looked at?")
    with stage("Nodes that are off"):
        place = _to_be_done_again(place, off)
        started = preparing.start(place.description, {resource_name(one.urn) for one in off})
        out.print(f"  started: {', '.join(started)}")
        return place


def _put_access_back(place: Place, seen: Found, *, yes: bool) -> None:
    """The user of the cluster's API, before anybody logs in as it."""
    if not yes:
        confirm("The user of the cluster's API is not as it was made, and nothing can be refreshed. Put it back first?")
    with stage("Access to the cluster's API"):
        changed = preparing.put_access_back(place.description, seen.looks.get(belongings.CLUSTER, []))
        out.print(f"  {place.description.config.cluster.api.user}: {'put back' if changed else 'as it was made'}")


def preview(stack: str, *, look: bool = False) -> None:
    """Show what `up` would change, under the policy pack; touches no host, unless told to look.

    Args:
        stack: which.
        look: look at every machine, too, and show what drifted as changes.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    with stage("Configuration and state"):
        env = environment.for_engine()
        environment.put_back_state(env, stack)
        described = description.read(stack, env)
        runner = engine.Engine(stack, env | trust.settings(stack, described.config))
        state = runner.export()
        if state is None:
            runner.create_stack()
            state = runner.export()
        else:
            site_instance.refuse_gone(state)
            state = _in_todays_form(runner, state)
    place = Place(described, runner, state or _EMPTY)
    if not place.has_resources:
        out.print(_UNRECORDED.format(stack=stack), markup=False, soft_wrap=True)
    if look:
        _preview_of_drift(place)
    else:
        _previewed(place)


def _previewed(place: Place, *arguments: str) -> list[Event]:
    with stage("Preview"):
        run = _judged(place, "preview", *arguments)
        _tell(place, run.events)
        out.print(f"  planned: {summary(run.events)}")
    return run.events


def _preview_of_drift(place: Place) -> None:
    """What `up` would refuse or do after its look, over a copy of the state; nothing is changed on any machine."""
    with stage("A look at what was made"):
        seen = first_look.look(place.description, place.state, all_hosts=False)
        place = replace(_trusting(place, seen.trusted), looks=seen.looks)
        followed = moved_vms.follow(place.description, place.state, seen.looks)[0]
        _findings(replace(place, state=followed), seen.looks, adopting=False)
        found = seen.drifted_of(place.state)
        _tell_of_drift([*found, *seen.untold])
        _tell_of_silence(seen)
        devices_at_risk.refuse(place.description.config, place.state, found)
    state = record.marked(place.state, found)
    # Without its user nothing of the cluster can be refreshed: the steps' changes are shown all the same.
    refreshes = place.has_resources and not record.cannot_log_in(state, found)
    if refreshes:
        with stage("Guests"):
            _let_guests_settle(place, seen)
    elif place.has_resources:
        out.print(_WITHOUT_REFRESH, markup=False, soft_wrap=True)
    with scratch(place.engine, state) as copied:
        with stage("What is there, as a run would record it"):
            place = replace(place, engine=copied, state=copied.export() or _EMPTY)
            place = _compared_with_machines(place, seen.looks, adopting=False, acting=False)
        place, refresh = _refreshed(place, found) if refreshes else (place, ())
        events = _previewed(place, *refresh)
    _refuse_planned(place, events, seen)


def _refuse_planned(place: Place, events: Sequence[Event], seen: Found) -> None:
    """What steps would refuse that are not recorded yet: only the plan says what they are given."""
    steps = forthcoming.planned(events)
    if not steps:
        return
    with stage("A look at what is planned"):
        said = forthcoming.said(place.description, steps, seen.answering | seen.looks.keys())
        if said.silence:
            out.print(f"  {said.silence}", markup=False, soft_wrap=True)
    if said.refused:
        raise RunError(said.refused)


def _tell_of_silence(seen: Found) -> None:
    if seen.silent:
        whom = "for these machines" if seen.looks or seen.answering else "no machine answered:"
        out.print(f"  {whom} the plan is from what is recorded, and not from what is", markup=False, soft_wrap=True)


def down(stack: str, *, yes: bool) -> None:
    """Destroy what the stack made; guests first, the outer host's originals last.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    with stage("Configuration and state"):
        place = _prepare(stack, yes=yes)
        seen = first_look.look(place.description, place.state, drifted=False, all_hosts=False)
        if place.has_resources:
            guests_inside.of_stack(place.description.config, seen.looks.get(belongings.CLUSTER, []))
        place = _without_lost(_trusting(place, seen.trusted), seen.looks)
        place = _with_what_was_left(place, seen.looks)
        place = _with_todays_logins(place, all_goes=True)
        _let_guests_settle(place, seen)
    if not place.has_resources:
        out.print("  nothing to destroy")
        return
    for shown in whose.destroyed(place.state, seen.looks):
        out.print(f"  destroyed with its disks: {shown}", markup=False, soft_wrap=True)
    if not yes:
        confirm(f"Destroy everything that stack {stack} made?")
    with stage("Destroy"):
        run = _run(place, "destroy", "--yes", "--skip-preview", *REFRESH)
        out.print(f"  {summary(run.events)}")


def environment_of(stack: str, *, complete: bool = True) -> dict[str, str]:
    """The environment in which plain `pulumi` works on a stack as `up` does: after a look at who answers at the APIs.

    Args:
        stack: which.
        complete: refuse a stack that is not whole yet. Else it is given what is needed to make it so, and no machine.

    Raises:
        StepError: whatever stands in the way.
    """
    env = environment.for_engine()
    environment.put_back_state(env, stack)
    try:
        described = description.read(stack, env)
    except AdminError as error:
        if complete or error.code not in _INCOMPLETE:
            raise
        err.print(_to_be_completed(stack, error, env), markup=False, soft_wrap=True)
        return env
    runner = engine.Engine(stack, env)
    found, silent = asyncio.run(trust.looked(described, runner.export()))
    for name, why in silent.items():
        err.print(f"not looked at: {name}: {why.what} ({why.observed})", markup=False, soft_wrap=True)
    if silent:
        err.print("What these would show at their APIs is not trusted here.", markup=False)
    return env | found


def _to_be_completed(stack: str, error: AdminError, env: Mapping[str, str]) -> str:
    if isinstance(error, description.NoCredentialsError):
        return first_secrets.advice(stack, error.config, env)
    return f"{error.render()}\nUntil then pulumi reaches no machine from here."


# What is mended with `pulumi stack init` and `pulumi config set`, for which one needs the shell.
_INCOMPLETE = ("config-invalid", "stack-state-missing")
_EMPTY: dict[str, Any] = {"deployment": {}}
_UNRECORDED = (
    "  nothing is recorded of stack {stack} here, so all of it is planned as new. Was it built before, work where its "
    "state is, or bring back .nested-pve/state; where it is lost for good, `make adopt STACK={stack}` records all that is there"
)
_WITHOUT_REFRESH = (
    "\n  the plan is not complete: the user of the cluster's API is not as it was made, and without it the engine cannot "
    "ask the cluster. `make up` puts it back first; then it also puts right what drifted above of guests, HA and cluster options"
)


def _prepare(stack: str, *, yes: bool, new: bool = False) -> Place:
    """Read the description and the state, and put right what a killed run left.

    Args:
        stack: which one.
        yes: ask nobody.
        new: a stack file may hold secrets, and no state be there: the stack is made first, so that they can be read.
    """
    env = environment.for_engine()
    backend = environment.file_backend(env)
    if backend:
        _make_readable(backend, stack, (lambda _question: None) if yes else confirm)
    runner = engine.Engine(stack, env)
    if new and runner.export() is None:
        runner.create_stack()
    described = description.read(stack, env)
    runner = replace(runner, environment=env | trust.settings(stack, described.config))
    if backend:
        site_instance.refuse_shared(stack, backend)
    state = runner.export()
    if state is None:
        runner.create_stack()
        return Place(described, runner, runner.export() or _EMPTY)
    if site_instance.is_gone(state):
        state = _recorded(runner, state, site_instance.forgotten(state))
        out.print(
            "  the machines were made anew since this stack was built on them: what was there is gone, and forgotten"
        )
    if interrupted.has_pending(state):
        resolved, adopted = interrupted.resolve_pending(state)
        state = _recorded(runner, state, resolved)
        names = ", ".join(resource_name(urn) for urn in adopted) or "nothing that needs adopting"
        out.print(f"  a killed run left work half done; looking again at: {names}")
    state = _in_todays_form(runner, state)  # also what an earlier version was killed at
    return _armed(Place(described, runner, state))


def _armed(place: Place) -> Place:
    """No bridge goes without its dead man's switch."""
    state = rearming.armed(place.state)
    if state == place.state:
        return place
    out.print("  a bridge was not recorded with what undoes its removal, if that cuts the host off: now it is")
    return replace(place, state=_recorded(place.engine, place.state, state))


def _in_todays_form(runner: engine.Engine, state: dict[str, Any]) -> dict[str, Any]:
    """The record of an earlier version, rewritten before the engine takes what it does not know for superfluous."""
    rewritten = changeover.with_todays_steps(state)
    if rewritten != state:
        out.print("  steps are recorded in another form now: their record is rewritten, and none runs for that")
        state = _recorded(runner, state, rewritten)
    if not changeover.old_storages(state):
        return state
    out.print("  storages are kept by a step now: their record is rewritten, and nothing happens to them")
    return _recorded(runner, state, changeover.changed_over(state, runner.stack))


def _make_readable(backend: Path, stack: str, ask: Callable[[str], None]) -> None:
    namesakes.refuse(stack, namesakes.recorded(backend), f"has a state in {backend}")
    held = run_record.read(backend, stack)
    for path in locks.clear_damaged(backend, stack, held):
        out.print(f"  removed a lock that is empty or cut off: {path}", markup=False, soft_wrap=True)
    for lock in locks.clear_stale(locks.find(backend, stack), held):
        out.print(f"  cleared the lock of a run that is dead (process {lock.pid})")
    if done := state_files.put_back(backend, stack, ask):
        out.print(f"  {done}", markup=False, soft_wrap=True)


def _recorded(runner: engine.Engine, seen: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    runner.replace_state(seen, state)
    # As the engine keeps it: what is replaced next is compared with that.
    return runner.export() or state


def _compared_with_machines(
    place: Place, looks: Mapping[str, Sequence[Look]], *, adopting: bool, acting: bool = True
) -> Place:
    """Put right, or refuse, what the state and the machines say differently of what the provider makes.

    Args:
        place: the stack; without `acting`, over a copy of its state.
        looks: what the machines show.
        adopting: what is there is recorded, though the state knows of nothing at all.
        acting: what is superfluous on the machines is taken away there.
    """
    place = _followed(place, looks)
    findings = _findings(place, looks, adopting=adopting)
    if acting:
        withdrawal.withdraw(place.description, findings.withdraw)
    place = _forgotten(place, findings.forget)
    if adopted := images.intact(place.description, findings.adopt, remove=acting):
        place = _adopted(place, adopted)
    return _installed_anew(place, looks)


def _findings(place: Place, looks: Mapping[str, Sequence[Look]], *, adopting: bool) -> belongings.Findings:
    findings = belongings.compare(place.description, place.state, looks)
    if (findings.adopt or findings.claimed) and not place.has_resources and not adopting:
        raise belongings.state_lost(place.description.stack, findings.adopt, findings.claimed)
    return findings


def _followed(place: Place, looks: Mapping[str, Sequence[Look]]) -> Place:
    state, moved = moved_vms.follow(place.description, place.state, looks)
    if not moved:
        return place
    out.print(f"  moved to another outer host, and recorded there: {', '.join(moved)}", markup=False, soft_wrap=True)
    return replace(place, state=_recorded(place.engine, place.state, state))


def _without_lost(place: Place, looks: Mapping[str, Sequence[Look]]) -> Place:
    """Forget what is somebody else's by now: it is not ours to destroy."""
    return _forgotten(place, belongings.lost(belongings.recorded(place.state), looks))


def _with_what_was_left(place: Place, looks: Mapping[str, Sequence[Look]]) -> Place:
    """Record what is ours and would be left: what a run that died was making on an outer host."""
    findings = belongings.left(place.description, place.state, looks)
    if not place.has_resources:
        if any(each.kind != marks.IMAGE for each in findings.adopt):
            raise belongings.state_lost(place.description.stack, findings.adopt)
        return place
    withdrawal.withdraw(place.description, findings.withdraw)
    place = _forgotten(place, findings.forget)
    return _armed(_adopted(place, findings.adopt)) if findings.adopt else place


def _without_foreign(place: Place) -> None:
    seen = first_look.look(place.description, place.state, drifted=False, all_hosts=False)
    lost = belongings.lost(belongings.recorded(place.state), seen.looks)
    _forgotten(place, [(each, thing) for each, thing in lost if thing is not None])


def _forgotten(place: Place, lost: Sequence[tuple[belongings.Recorded, Thing | None]]) -> Place:
    if not lost:
        return place
    forgotten = vanished.forget_replaced(place.state, [each.urn for each, _ in lost if each.replaced])
    urns = belongings.with_last_looks(forgotten, [each.urn for each, _ in lost if not each.replaced])
    state = _recorded(place.engine, place.state, vanished.forget(forgotten, urns))
    for each, thing in lost:
        what = (
            f"not ours any more, and left alone: {thing.shown}" if thing else f"gone already: {each.kind} {each.name}"
        )
        out.print(f"  {what} ({resource_name(each.urn)})", markup=False)
    return replace(place, state=state)


def _adopted(place: Place, things: Sequence[belongings.Wanted]) -> Place:
    """Record what is there already; how it is, the refresh at the start of the run finds out."""
    run = _run(place, "preview", quiet=True)
    password = logins.today(place.description).password
    state, urns = adoption.adopt(place.state, adoption.planned(run.events), things, password)
    state = _recorded(place.engine, place.state, state)
    out.print(f"  there already and ours, so recorded: {', '.join(map(resource_name, urns))}", soft_wrap=True)
    return replace(place, state=state)


def _installed_anew(place: Place, looks: Mapping[str, Sequence[Look]]) -> Place:
    gone = vanished.vanished_nodes(place.description, place.state, looks)
    if not gone:
        return place
    vanished.refuse_members(place.description, place.state, [node for node, _ in gone])
    state = _recorded(place.engine, place.state, vanished.forget(place.state, [urn for _, urn in gone]))
    out.print(f"  gone from the host, and installed anew: {', '.join(node.name for node, _ in gone)}")
    return replace(place, state=state)


def _trusting(place: Place, variables: Mapping[str, str]) -> Place:
    """Let the engine trust what the machines themselves hold."""
    return replace(place, engine=replace(place.engine, environment={**place.engine.environment, **variables}))


def _tell(place: Place, events: Sequence[Event]) -> None:
    """The same changes as a pull request is shown, with what is known of guests that go."""
    from cli.report import fate, plan, terminal  # noqa: PLC0415 - slow to load, and a run that changes nothing needs it not

    for line in terminal.lines(plan.read(events), fate.known(place.state, place.looks.get(belongings.CLUSTER))):
        out.print(f"  {line}", markup=False, soft_wrap=True)


def _tell_of_design(place: Place, event: Event) -> None:
    """For a run that asked nobody: the design is what the engine looks at before it makes anything."""
    metadata = event.get("resourcePreEvent", {}).get("metadata", {})
    if metadata.get("op") == "update" and resource_name(metadata["urn"]) == "design":
        _tell(place, [event])


def _judged(
    place: Place, operation: str, *arguments: str, on_event: Callable[[Event], None] | None = None
) -> engine.Run:
    """A run under the policy pack, which also says what it does not refuse."""
    run = _run(place, operation, *policies.arguments(place.engine.stack), *arguments, on_event=on_event)
    for line in policies.said(run):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    return run


def _run(
    place: Place,
    operation: str,
    *arguments: str,
    on_event: Callable[[Event], None] | None = None,
    quiet: bool = False,
) -> engine.Run:
    with Narrator(place.adopting) as narrator:

        def follow(event: Event) -> None:
            if not quiet:
                narrator(event)
            if on_event is not None:
                on_event(event)

        run = place.engine.run(operation, *arguments, on_event=follow)
    if run.exit_code != 0:
        log = place.engine.log(operation)
        shown = log.relative_to(Path.cwd()) if log.is_relative_to(Path.cwd()) else log
        raise RunError(failures.explain(run, str(shown)))
    return run


def confirm(question: str) -> None:
    """Ask on the terminal.

    Raises:
        AdminError: not-confirmed.
    """
    import typer  # noqa: PLC0415 - only here, and only for people

    if not sys.stdin.isatty():
        raise AdminError("not-confirmed", "nobody is there to ask", observed="no terminal", expected="--yes")
    if not typer.confirm(question, err=True):
        raise AdminError("not-confirmed", "the answer was no", observed="n", expected="y")
