"""What is done to one node: it is drained, rebooted, upgraded, and given back. Each looks first, and can be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import out
from cluster import rolling
from cluster.errors import AdminError
from cluster.reports import read
from cluster.waiting import until_async
from onnode.contract.guests import Maintenance, MoveGuests
from onnode.contract.node import RebootNode, Upgrade, UpgradeNode
from onnode.errors import StepError

if TYPE_CHECKING:
    from cli.rolling.session import Session
    from cluster.rolling import View
    from onnode.contract.guests import GuestMove

GUESTS_S = 3900.0  # the steps bound themselves, and say more when they do
UPGRADE_S = 5400.0
STEP_S = 120.0
BACK_S = 900.0  # large servers test their memory before they boot
LOOK_FRESH_S = 15.0  # a look fetches package lists anew, and reads them right after that
FRESH_S = 3600.0  # what was shown is what is done, unless the question was answered late
POLL_S = 2.0


async def movable(session: Session, view: View, name: str) -> list[GuestMove]:
    """Where the node's guests would go that are not under HA; refuses guests that cannot leave it.

    Raises:
        AdminError: guest-stays.
    """
    return rolling.placements(name, (await session.guests(name)).guests, rolling.load_of(view, name))


async def drain(session: Session, view: View, name: str) -> None:
    """Take all running guests away from a node, and let it have none.

    Raises:
        StepError: guest-stays before anything moves; migration-failed, maintenance-not-taken, guests-remain.
    """
    moves = await movable(session, view, name)
    if moves:
        out.print(f"  {name}: moving {', '.join(f'{one.sid} to {one.target}' for one in moves)}", markup=False)
        await session.run(name, "move-guests", MoveGuests(name, moves), timeout_s=GUESTS_S * len(moves))
        _note(name, f"moved {', '.join(f'{one.sid} to {one.target}' for one in moves)}")
    await _maintain(session, view, name, enabled=True)


async def undrain(session: Session, view: View, name: str) -> None:
    """Give a node back; HA returns the guests that it had taken away.

    Raises:
        StepError: maintenance-not-taken, guests-remain.
    """
    await _maintain(session, view, name, enabled=False)


async def _maintain(session: Session, view: View, name: str, *, enabled: bool) -> None:
    speaker = next((one for one in view.motions if one != name), name)
    wanted = Maintenance(name, enabled, session.patience_s)
    result = await session.run(speaker, "maintenance", wanted, timeout_s=session.patience_s + GUESTS_S)
    how = "in maintenance, without running guests" if enabled else "out of maintenance"
    out.print(f"  {name} is {how}{'' if result.changed else ' already'}", markup=False)
    if result.changed:
        _note(name, "put into maintenance, guests moved away" if enabled else "taken out of maintenance")


def _note(name: str, what: str) -> None:
    chronicle.current().acts.append(chronicle.Remark(name, what))


async def reboot(session: Session, name: str, boot_id: str) -> None:
    """Reboot a drained node, and wait until it is back under another boot id.

    Raises:
        StepError: guests-running, node-not-back.
    """
    await session.run(name, "reboot-node", RebootNode(name, boot_id), timeout_s=STEP_S)

    async def looked() -> str | StepError:
        try:
            return await session.boot_id(name)
        except StepError as error:
            return error

    seen = await until_async(
        looked, lambda seen: seen not in ("", boot_id) and isinstance(seen, str), timeout_s=BACK_S, poll_s=POLL_S
    )
    if isinstance(seen, StepError) or seen in ("", boot_id):
        raise AdminError(
            "node-not-back",
            f"{name} did not come back from its reboot within {BACK_S:g} s",
            observed=f"{seen.what} ({seen.observed})"
            if isinstance(seen, StepError)
            else f"boot id {boot_id}, as before",
            expected="an answer under a new boot id",
        )
    out.print(f"  {name} has rebooted", markup=False)
    _note(name, "rebooted")


async def upgrade(session: Session, name: str, *, apply: bool) -> Upgrade:
    """Upgrade a node's packages, or find out what that would do; returns what is left to do.

    Raises:
        StepError: other-major, upgrade-removes, and why apt failed.
    """
    major = session.described.config.pve_major
    wanted = UpgradeNode(name, major, apply, FRESH_S if apply else LOOK_FRESH_S)
    result = await session.run(name, "upgrade-node", wanted, timeout_s=UPGRADE_S, quiet=not apply)
    if apply and result.changed:
        _note(name, "packages upgraded")
    return read(Upgrade, name, result.facts)
