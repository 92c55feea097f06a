"""`drill`: stop one nested node hard, watch its guests start elsewhere, start it again."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli import chronicle
from cli.console import out, stage
from cli.looks import preparing
from cli.rolling import session
from cli.run import confirmation
from cli.status.model import NO_ANSWER
from cluster import drilling, nested_vm, rolling
from cluster.drilling import REAL, Drill
from cluster.errors import AdminError
from cluster.transport import members, watching
from cluster.waiting import until_async
from components.recorded import TIME_SCALE_VARIABLE
from components.site import Site
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.rolling.session import Session
    from cluster.contract import Housing
    from cluster.transport.watching import Watch

SETTLE_S = 15.0  # for what passes by itself in a moment; a cluster that is not well is refused, and not waited for
RECOVERY_S = 600.0  # a dead HA master takes HA about 180 s, and then guests boot
BASELINE_S = 2.0
POLL_S = 0.2
MOMENTS = ("last_answer", "lost", "fenced", "elsewhere", "answering")


@dataclass(frozen=True)
class Plan:
    """What a drill is about to do.

    Attributes:
        node: it is stopped.
        housing: its VM.
        guests: those under HA, with their nodes.
        was_master: it is the HA master.
        survivable: how many further nodes may fail meanwhile.
    """

    node: str
    housing: Housing
    guests: Mapping[str, str]
    was_master: bool
    survivable: int

    @property
    def own(self) -> list[str]:
        """The guests that run on the node."""
        return [sid for sid, node in self.guests.items() if node == self.node]


@dataclass
class Power:
    """Whether the node may be off by this drill's doing."""

    cut: bool = False


def drill(stack: str, node: str | None, *, yes: bool) -> None:
    """Stop a node hard, and start it again when its guests run elsewhere.

    Args:
        stack: which.
        node: the node; None for the one with the most guests under HA.
        yes: ask nobody.

    Raises:
        StepError: what stands in the way; guests-not-recovered.
    """
    with session.opened(stack) as held:
        _start_what_is_off(held, yes=yes)
        with stage("Cluster and guests"):
            plan = asyncio.run(_planned(held, node))
            _tell(plan)
        if not yes:
            confirmation.confirm(f"Cut the power of {plan.node}?")
        power = Power()
        try:
            with stage(f"Drill of {plan.node}"):
                done = asyncio.run(_stopped(held, plan, power))
                _show(done)
        except KeyboardInterrupt:
            if power.cut:
                out.print(f"  {plan.node} is off: the next `make drill` or `make up` starts it", markup=False)
            raise
        except Exception:
            if power.cut:
                with suppress(StepError):  # why the drill ended counts more
                    _start(held, [plan.node])
            raise
        _start(held, [plan.node])
        if done.silent:
            raise AdminError(
                "guests-not-recovered",
                f"{plan.node} was stopped, and not every guest was seen to run elsewhere within {RECOVERY_S:g} s",
                observed=", ".join(done.silent),
                expected="all guests under HA on other nodes",
            )
        with stage("Cluster and guests again"):
            asyncio.run(held.settled(None))


def housings(held: Session) -> dict[str, Housing]:
    """The VMs of the nested nodes, by node."""
    described = held.described
    return Site(described.config, described.credentials, described.stack).change.housing


# -- a node that is off ------------------------------------------------------------------------------------------------


def _start_what_is_off(held: Session, *, yes: bool) -> None:
    """Start nested nodes without power: an earlier drill that was cut off leaves one."""
    off = asyncio.run(_off(held))
    if not off:
        return
    for name in off:
        out.print(f"  {name}: its VM is powered off, as a drill leaves it that was cut off", markup=False)
    if not yes:
        confirmation.confirm("Start these nodes first?")
    _start(held, off)
    with stage("Cluster and guests, before the drill"):
        asyncio.run(held.settled(None))


async def _off(held: Session) -> list[str]:
    view = await held.look()
    silent = [name for name, one in view.seen.items() if isinstance(one, StepError) and one.code in NO_ANSWER]
    own = {name: housing for name, housing in housings(held).items() if name in silent}
    hosts = {housing.host.name: housing.host for housing in own.values()}
    async with members.connections(hosts.values(), held.key) as opened:
        return [
            name
            for name, housing in own.items()
            if await nested_vm.is_off(members.connected(opened, housing.host.name), name, housing.vmid, held.stack)
        ]


def _start(held: Session, names: Sequence[str]) -> None:
    with stage(f"Start of {', '.join(names)}"):
        preparing.start(held.described, {f"{name}-install" for name in names})
        for name in names:
            chronicle.current().acts.append(chronicle.Remark(name, "started"))


# -- before ------------------------------------------------------------------------------------------------------------


async def _planned(held: Session, node: str | None) -> Plan:
    """The node to stop, when nothing speaks against that.

    Raises:
        StepError: the refusals of `cluster.drilling` and `cluster.nested_vm`, not-settled, quorum-needed, node-unknown.
    """
    nested = housings(held)
    wanted = held.member(node).name if node is not None else None
    name = drilling.chosen(await held.look(), nested, wanted)
    view = await held.settled(name, SETTLE_S)
    drilling.chosen(view, nested, name)
    drilling.refuse(view, name, (await held.guests(name)).guests)
    housing = nested[name]
    async with members.connections([housing.host], held.key) as opened:
        await nested_vm.look(members.connected(opened, housing.host.name), name, housing.vmid, held.stack)
    masters = {one.ha.master for one in view.healths.values() if one.ha}
    return Plan(name, housing, drilling.guests_of(view), name in masters, rolling.survives(view, name))


def _tell(plan: Plan) -> None:
    further = f"{plan.survivable} further" if plan.survivable else "no further"
    for line in (
        f"{plan.node}: the power of its VM {plan.housing.vmid} on {plan.housing.host.name} is cut, and comes back at the end",
        f"its guests stop hard, and HA starts them elsewhere: {', '.join(plan.own)}",
        "when it is back, HA may bring them home: a VM moves while it runs, a container restarts",
        f"meanwhile the cluster survives the loss of {further} node{'s' if plan.survivable > 1 else ''}",
    ):
        out.print(f"  {line}", markup=False, soft_wrap=True)


# -- the drill itself --------------------------------------------------------------------------------------------------


async def watched(held: Session, plan: Plan) -> Watch:
    """Sessions with the API of every node."""
    described = held.described
    user, password = described.config.cluster.api.user, described.credentials.api_password.get_secret_value()
    return await watching.watch(held.members, held.key, user, password, plan.guests)


async def _stopped(held: Session, plan: Plan, power: Power) -> Drill:
    """Watch the guests, stop the node, and watch on until all its guests run elsewhere, for a bounded time."""
    async with members.connections([plan.housing.host], held.key) as opened:
        host = members.connected(opened, plan.housing.host.name)
        watch = await watched(held, plan)
        looking = asyncio.create_task(watch.run())
        try:
            await asyncio.sleep(BASELINE_S)
            drilling.refuse_unseen(plan.guests, watch.samples)
            # Somebody may have taken long to answer.
            again = await _planned(held, plan.node)
            vm = await nested_vm.look(host, plan.node, plan.housing.vmid, held.stack)
            watch.begin()
            power.cut = True
            await nested_vm.stop(host, vm)
            chronicle.current().acts.append(chronicle.Remark(plan.node, "its power was cut"))
            out.print(f"  {watch.now():6.1f} s  {plan.node} is off", markup=False)
            await _recovered(watch, again)
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
    done = drilling.shown(
        plan.node,
        again.guests,
        watch.samples,
        master=again.was_master,
        scale=time_scale(),
        interval_s=watching.INTERVAL_S,
    )
    chronicle.current().drill = done
    return done


async def _recovered(watch: Watch, plan: Plan) -> None:
    async def looked() -> bool:
        return drilling.all_answer(plan.own, plan.node, watch.samples)

    await until_async(looked, bool, timeout_s=RECOVERY_S, poll_s=POLL_S)


def time_scale() -> float:
    """The factor on HA's delays at this site: 1 unless the site is a lab that says otherwise."""
    return float(os.environ.get(TIME_SCALE_VARIABLE) or 1.0)


def _show(done: Drill) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("guest", "last answer", "lost", "fenced", "elsewhere", "answers", "on"):
        table.add_column(column, no_wrap=True)
    for guest in done.guests:
        table.add_row(guest.sid, *(_moment(getattr(guest, name)) for name in MOMENTS), guest.node or "-")
    real = REAL[done.was_master]
    table.add_row("real", "", *(real[name].partition(",")[0] for name in MOMENTS[1:]), "")
    out.print(table)
    scale = (
        f"HA's delays are {done.time_scale:g} times the real ones here; Corosync's are real. "
        if done.time_scale != 1
        else ""
    )
    master = f"{done.node} was the HA master. " if done.was_master else ""
    looks = f"A look at each node every {done.interval_s:g} s, at most {done.longest_s:.1f} s apart."
    out.print(f"  {scale}{master}{looks}", markup=False, soft_wrap=True)
    for other in done.others:
        out.print(f"  {other.sid} on {other.node} went on: seen at least every {other.longest_s:.1f} s", markup=False)


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
