"""`repair`: doctor looks, the first repair is shown and asked for, kept from, done, and looked at again; until all is well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import line, out, stage
from cli.doctor import picture
from cli.doctor.diagnose import diagnose
from cli.doctor.look import expected_of, look
from cli.doctor.model import World
from cli.repair import acts, backup, further
from cli.repair.model import CONF_CAUSES, KINDS, LEAVING_CAUSES, Repair, Situation
from cli.repair.plan import plan
from cli.rolling import session
from cli.run import confirmation
from cluster.errors import AdminError
from cluster.transport import members
from cluster.waiting import until
from config.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cli.doctor.model import Cause
    from cli.repair.model import ByHand
    from cli.rolling.session import Session

    Looked = tuple[Situation, list[Cause]]

REPAIRS_MAX = 32  # no cluster needs so many: more would be a loop
POLL_S = 2.0


def repair(stack: str, *, only: str, lost: str, yes: bool) -> None:
    """Mend what doctor names, until nothing is wrong or a person is needed.

    Args:
        stack: which.
        only: the name of the repairs that are to be done; empty: all.
        lost: nodes that are lost for good, as the person says who calls: nobody is asked about these.
        yes: ask nobody.

    Raises:
        AdminError: repair-unknown, not-confirmed, backup-failed, repair-without-effect, repair-left.
        StepError: why a machine did not answer, and what the steps on it refuse.
    """
    refuse_unknown(only)
    with session.opened(stack) as held:
        with stage("What is wrong"):
            situation, causes = _look(held)
            picture.show(out, situation.world, causes)
        done: list[Repair] = []
        while (one := next_of(plan(situation, causes), only, done)) is not None:
            _show(one)
            _ask(one, lost.replace(",", " ").split(), yes=yes)
            if not yes:
                situation, causes = _look(held)
                if not one.does_the_same_as(next_of(plan(situation, causes), only, done)):
                    out.print("  what is to be done is another one meanwhile", markup=False)
                    continue
            with stage(f"Repair {one.name}: {', '.join(one.machines)}"):
                asyncio.run(_do(held, situation, one))
                situation, causes = _settled(held, one)
            done.append(one)
        if done:
            picture.show(out, situation.world, causes)
    refuse_left(plan(situation, causes), only)


def refuse_unknown(only: str) -> None:
    """Refuse a name that no repair has.

    Raises:
        AdminError: repair-unknown.
    """
    if only and only not in KINDS:
        raise AdminError("repair-unknown", f"there is no repair {only}", observed=only, expected=", ".join(KINDS))


def next_of(planned: Sequence[Repair | ByHand], only: str, done: Sequence[Repair]) -> Repair | None:
    """The first repair that is to be done; pure.

    Raises:
        AdminError: repair-without-effect.
    """
    one = next((one for one in planned if isinstance(one, Repair) and only in ("", one.name)), None)
    if one is not None and (one.key in {before.key for before in done} or len(done) >= REPAIRS_MAX):
        raise AdminError(
            "repair-without-effect",
            f"the repair {one.name} was done, and its cause is still there",
            observed=f"{one.cause.what} [{one.cause.name}]",
            expected="a look of doctor without it",
            fix=one.cause.next,
        )
    return one


def refuse_left(planned: Sequence[Repair | ByHand], only: str) -> None:
    """End with an error where anything is left; pure.

    Raises:
        AdminError: repair-left.
    """
    left = [one for one in planned if not only or (isinstance(one, Repair) and one.name == only)]
    if not left:
        return
    first = left[0]
    why = "" if isinstance(first, Repair) else f"; {first.why}"
    raise AdminError(
        "repair-left",
        f"{len(left)} cause{'s are' if len(left) > 1 else ' is'} left that {'need' if len(left) > 1 else 'needs'} a person",
        observed=f"first {first.cause.name} ({first.cause.where}): {first.cause.what}{why}",
        expected="nothing that is wrong",
        fix=first.cause.next,
    )


def _ask(one: Repair, lost: Sequence[str], *, yes: bool) -> None:
    """Ask whether it is to be done; a node is called lost only by its name.

    Raises:
        AdminError: not-confirmed, loss-unconfirmed.
    """
    unnamed = [name for name in one.chosen if name not in lost]
    if unnamed and yes:
        raise AdminError(
            "loss-unconfirmed",
            f"nobody has said that {', '.join(unnamed)} will never come back",
            observed=f"LOST={' '.join(lost) or '(empty)'}",
            expected=f"LOST='{' '.join(one.chosen)}'",
        )
    for name in unnamed:
        confirmation.confirm_by_name(
            f"Did you see that {name} has no power, and will its disk never be started again?", name
        )
    if not yes:
        confirmation.confirm(f"Do this repair ({one.name})?")


def _look(held: Session) -> Looked:
    expected = expected_of(held.described)
    seen = look(held.described, expected)
    world, causes = World(expected, seen), diagnose(expected, seen)
    chronicle.current().looked(further.standing(world))
    named = {cause.name for cause in causes}
    kept = asyncio.run(further.kept(held, world)) if named & set(CONF_CAUSES) else {}
    guests = asyncio.run(further.guests(held, world)) if named & set(LEAVING_CAUSES) else None
    return Situation(world, kept, guests, further.described(held)), causes


def _settled(held: Session, one: Repair) -> Looked:
    """Look until the cause is gone and two looks show the same, for a bounded time: HA and pmxcfs take their seconds."""
    before: list[Cause] | None = None

    def looked() -> tuple[Looked, bool]:
        nonlocal before
        found = _look(held)
        is_gone = all((cause.name, cause.where) != (one.cause.name, one.cause.where) for cause in found[1])
        is_same, before = _places(found[1]) == _places(before), found[1]
        return found, is_gone and (is_same or not found[1])

    return until(looked, lambda found: found[1], timeout_s=held.patience_s, poll_s=POLL_S)[0]


def _places(causes: Sequence[Cause] | None) -> list[tuple[str, str]] | None:
    return None if causes is None else [(cause.name, cause.where) for cause in causes]


def _show(one: Repair) -> None:
    kind, kept = KINDS[one.name], "/etc/pve, pmxcfs' database and corosync's files"
    lines = [
        f"Repair {one.name} for: {one.cause.what}  [{one.cause.name}]",
        f"     does: {kind.does}",
        *(f"           {number}. {step}" for number, step in enumerate(one.steps, start=1)),
        f"     kept first: {kept} of {', '.join(one.machines)}, in {_shown(backup.DIRECTORY)}",
        f"     lost at worst: {kind.lost}",
    ]
    out.print("\n".join(map(line, lines)), markup=False, soft_wrap=True)


async def _do(held: Session, situation: Situation, one: Repair) -> None:
    world, machines = situation.world, [held.member(name) for name in one.machines]
    async with members.connections(machines, held.key) as opened:
        connected = {name: members.connected(opened, name) for name in opened}
        for name, connection in connected.items():
            report = world.nodes.get(name)
            kept = await backup.take(connection, held.stack, shared=report is not None and report.pve == "mounted")
            out.print(f"  what {name} has is kept in {_shown(kept)}", markup=False, soft_wrap=True)
        chronicle.current().acts.append(
            chronicle.Remark(", ".join(one.machines), f"repair {one.name}: {one.cause.what}", "; ".join(one.steps))
        )
        await acts.ACTS[one.name](acts.Context(held, world, situation.guests, connected), one)


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
