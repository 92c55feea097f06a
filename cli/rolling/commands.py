"""`drain`, `undrain`, `reboot` and `upgrade`: node by node, each with a look at the whole cluster before and after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import out, stage
from cli.rolling import acts, progress, session
from cli.run import confirmation
from cluster import rolling
from cluster.errors import AdminError
from onnode.system import packages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cli.rolling.progress import Progress
    from cli.rolling.session import Session
    from cluster.rolling import View
    from onnode.contract.node import Upgrade

    Work = Callable[[str], Awaitable[None]]

SHOWN_PACKAGES = 6


def drain(stack: str, node: str) -> None:
    """Put a node into maintenance: its guests go, and it gets none.

    Raises:
        StepError: what stands in the way.
    """
    with session.opened(stack) as held, stage(f"Drain {node}"):
        asyncio.run(_drain(held, held.member(node).name))


async def _drain(held: Session, name: str) -> None:
    view = await held.settled(name)
    _tell_survivable(view, [name])
    await acts.drain(held, view, name)


def undrain(stack: str, node: str) -> None:
    """End a node's maintenance: HA brings back the guests that it had taken away.

    Raises:
        StepError: what stands in the way.
    """
    with session.opened(stack) as held, stage(f"Undrain {node}"):
        asyncio.run(_undrain(held, held.member(node).name))


async def _undrain(held: Session, name: str) -> None:
    view = await held.look()
    if not view.motions:
        raise AdminError(
            "not-settled", "no node is quorate", observed="; ".join(rolling.findings(view)), expected="a quorate member"
        )
    await acts.undrain(held, view, name)


def reboot(stack: str, node: str | None, *, yes: bool) -> None:
    """Reboot one node or all, one after another.

    Raises:
        StepError: what stands in the way, or RunError's kin.
    """
    with session.opened(stack) as held:
        done = progress.read(stack, "reboot")
        with stage("Cluster and guests"):
            view = asyncio.run(_well(held, done, node))
            names = asyncio.run(_to_reboot(held, done, node))
            asyncio.run(_look_ahead(held, view, names))
        for name in names:
            out.print(f"  {name} will be drained, rebooted and given back", markup=False)
        if not yes:
            confirmation.confirm("Reboot these nodes, one after another?")

        async def work(name: str) -> None:
            boot = await held.boot_id(name)
            if boot == done.boots[name]:
                await acts.reboot(held, name, boot)

        _roll(held, done, names, work)


async def _to_reboot(held: Session, done: Progress, node: str | None) -> list[str]:
    """The nodes whose turn has yet to come, or to end."""
    if node is not None:
        name = held.member(node).name
        if done.drained != name:
            done.boots.pop(name, None)
        return [name]
    names = []
    for member in held.members:
        before = done.boots.get(member.name)
        if before is None or done.drained == member.name or await held.boot_id(member.name) == before:
            names.append(member.name)
        else:
            out.print(f"  {member.name} was rebooted by the call before", markup=False)
    return names


def upgrade(stack: str, node: str | None, *, yes: bool) -> None:
    """Upgrade the packages of one node or all, one after another; reboot those that get a newer kernel.

    Raises:
        StepError: what stands in the way.
    """
    with session.opened(stack) as held:
        done = progress.read(stack, "upgrade")
        wanted = [held.member(node)] if node else held.members
        with stage("What an upgrade would do"):
            view = asyncio.run(_well(held, done, node))
            plans = asyncio.run(_plans(held, [member.name for member in wanted]))
            _show(plans)
            _note(plans)
            names = [name for name, plan in plans.items() if plan.packages or plan.reboots or done.drained == name]
            asyncio.run(_look_ahead(held, view, names))
        if not names:
            done.finish()
            return
        if not yes:
            confirmation.confirm("Upgrade these nodes, one after another?")

        async def work(name: str) -> None:
            left = await acts.upgrade(held, name, apply=True)
            if left.reboots:
                await acts.reboot(held, name, left.boot_id)

        _roll(held, done, names, work)


async def _plans(held: Session, names: Sequence[str]) -> dict[str, Upgrade]:
    """Apt's own simulation on each node, after it has fetched its package lists."""
    found = await asyncio.gather(*(acts.upgrade(held, name, apply=False) for name in names))
    return dict(zip(names, found, strict=True))


def _show(plans: dict[str, Upgrade]) -> None:
    for name, plan in plans.items():
        out.print(f"  {name}: Proxmox VE {plan.pve_version}, {describe(plan)}", markup=False, soft_wrap=True)


def _note(plans: dict[str, Upgrade]) -> None:
    """For the report: the reason of what is done next."""
    chronicle.current().changes = [
        chronicle.Remark(name, describe(plan), f"Proxmox VE {plan.pve_version} before") for name, plan in plans.items()
    ]


def describe(plan: Upgrade) -> str:
    """What an upgrade does to a node, in words; pure."""
    kernel = packages.newest_kernel(plan.packages) or (plan.kernel_newest if plan.reboots else None)
    if not plan.packages and kernel is None:
        return "nothing to upgrade"
    shown = ", ".join(plan.packages[:SHOWN_PACKAGES])
    more = len(plan.packages) - SHOWN_PACKAGES
    shown += f" and {more} more" if more > 0 else ""
    count = f"{len(plan.packages)} package{'s' if len(plan.packages) != 1 else ''}"
    parts = [f"{count} ({shown})"] if plan.packages else []
    return "; ".join([*parts, *([f"reboot into kernel {kernel}"] if kernel else [])])


async def _well(held: Session, done: Progress, node: str | None) -> View:
    """The cluster, once it is well; a node that somebody else has put into maintenance may be worked on alone only.

    Raises:
        AdminError: not-settled, node-in-maintenance.
    """
    return await held.settled(node or done.drained)


async def _look_ahead(held: Session, view: View, names: Sequence[str]) -> None:
    """Refuse before the question what would stop the command later.

    Raises:
        AdminError: quorum-needed, guest-stays.
    """
    for name in names:
        rolling.refuse_without_quorum(view, name)
        await acts.movable(held, view, name)
    if names:
        _tell_survivable(view, names)


def _tell_survivable(view: View, names: Sequence[str]) -> None:
    fewest = min(rolling.survives(view, name) for name in names)
    further = f"{fewest} further node{'s' if fewest != 1 else ''}" if fewest else "no further node"
    out.print(f"  meanwhile the cluster survives the loss of {further}", markup=False)


def _roll(held: Session, done: Progress, names: Sequence[str], work: Work) -> None:
    for name in rolling.order(names, done.drained):
        with stage(name):
            asyncio.run(_turn(held, done, name, work))
    done.finish()


async def _turn(held: Session, done: Progress, name: str, work: Work) -> None:
    """One node: the cluster is well, the node is drained, worked on, back, and given its guests.

    A node that somebody else had put into maintenance stays in it.
    """
    view = await held.settled(name)
    kept = name in view.in_maintenance and done.drained != name
    done.boots.setdefault(name, await held.boot_id(name))
    done.drained = None if kept else name
    done.save()
    await acts.drain(held, view, name)
    await work(name)
    view = await held.settled(name)
    if not kept:
        await acts.undrain(held, view, name)
        done.drained = None
        done.save()
        await held.settled(None)
