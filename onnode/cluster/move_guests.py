"""move-guests: running guests that are not under HA leave this node, each for the node that was chosen for it.

A VM moves while it runs; a container is stopped here and started there. HA moves its own (step `maintenance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.guests import GuestMove, MoveGuests
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import pve

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

MOVE_S = 3600.0  # a live migration copies a guest's whole memory
_SHOWN = {"VM": "vm", "CT": "ct"}


@dataclass(frozen=True)
class Observed:
    """The guests that run here: "vm:100"."""

    node: str
    running: list[str]


def observe(machine: ThisMachine, _desired: MoveGuests) -> Observed:
    """Ask which guests run."""
    shown = (one.partition(" ") for one in pve.running_guests(machine))
    return Observed(membership.hostname(machine), [f"{_SHOWN[word]}:{vmid}" for word, _, vmid in shown])


def decide(observed: Observed, desired: MoveGuests) -> list[Action]:
    """One after another, those that are still here.

    Raises:
        StepError: hostname.
    """
    if observed.node != desired.node:
        raise StepError("hostname", "the machine has another name", observed=observed.node, expected=desired.node)
    return [Action("migrate", f"{move.sid} to {move.target}") for move in desired.moves if move.sid in observed.running]


def act(machine: ThisMachine, _desired: MoveGuests, action: Action) -> None:
    """Move one guest, and see that it has left.

    Raises:
        StepError: migration-failed.
    """
    sid, _, target = action.what.partition(" to ")
    move = GuestMove(sid, target)
    kind, _, vmid = move.sid.partition(":")
    argv = (
        ["qm", "migrate", vmid, target, "--online"] if kind == "vm" else ["pct", "migrate", vmid, target, "--restart"]
    )
    result = machine.run(argv, timeout_s=MOVE_S)
    directory = "qemu-server" if kind == "vm" else "lxc"
    if not machine.exists(f"/etc/pve/nodes/{target}/{directory}/{vmid}.conf"):
        raise StepError(
            "migration-failed",
            f"{sid} could not be moved to {target}",
            observed=result.text.strip().splitlines()[-1] if result.text.strip() else f"exit {result.code}",
            expected=f"its configuration on {target}",
        )


def facts(_observed: Observed, desired: MoveGuests) -> dict[str, Any]:
    """Where they went."""
    return {"moved": {move.sid: move.target for move in desired.moves}}


def unchanged(observed: Observed, _desired: MoveGuests) -> str:
    """Say what was found."""
    return f"none of these guests runs on {observed.node}"


STEP = Step(MoveGuests, observe, decide, act, facts, unchanged)
