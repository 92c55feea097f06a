"""journal: enter this stack on the outer host, with the bridges that it may call its own, before anything is changed.

Only what did not exist when it was entered belongs to the stack; whatever was there before is foreign and stays,
unless it carries the stack's mark: then the journal was lost, and not the bridge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import Journal
from onnode.errors import StepError
from onnode.host import demands, kind
from onnode.step import Action, Step
from onnode.system import network, originals, pve

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine


@dataclass(frozen=True)
class Observed:
    """Who has been entered, and which interfaces there are."""

    entered: bool = False
    own: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)  # bridge -> the other stack that it belongs to
    interfaces: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)  # those with this stack's mark, though the journal was lost
    namesakes: list[str] = field(default_factory=list)  # stacks with the same mark


def observe(machine: ThisMachine, desired: Journal) -> Observed:
    """Read the journal and list the interfaces."""
    stacks = originals.load(machine)["stacks"]
    others = {name: stack for stack, entry in stacks.items() if stack != desired.stack for name in entry["bridges"]}
    return Observed(
        desired.stack in stacks,
        originals.bridges(machine, desired.stack),
        others,
        network.interface_names(machine),
        kind.hypervisor(machine).marked_bridges(desired.stack),
        pve.namesakes(desired.stack, stacks),
    )


def decide(observed: Observed, desired: Journal) -> list[Action]:
    """Enter what is new.

    Raises:
        StepError: foreign-bridge, stack-name-taken.
    """
    if observed.namesakes:
        raise StepError(
            "stack-name-taken",
            f"the name of stack {desired.stack} differs from another one only in upper and lower case",
            observed=f"{', '.join(observed.namesakes)} is entered in {originals.PATH}",
            expected=f"no other stack that marks its things with {pve.stack_tag(desired.stack)}",
        )
    fresh = sorted(set(desired.bridges) - set(observed.own))
    for name in fresh:
        if name in observed.others or (name in observed.interfaces and name not in observed.marked):
            owner = f"stack {observed.others[name]}" if name in observed.others else "not this stack"
            raise demands.foreign_bridge(name, owner)
    if observed.entered and not fresh:
        return []
    return [Action("enter", " ".join([desired.stack, *fresh]))]


def act(machine: ThisMachine, desired: Journal, action: Action) -> None:
    """Write the entry."""
    _, *fresh = action.what.split()
    journal = originals.load(machine)
    entry = journal["stacks"].setdefault(desired.stack, {"bridges": []})
    entry["bridges"] = sorted({*entry["bridges"], *fresh})
    originals.save(machine, journal)


def facts(observed: Observed, _desired: Journal) -> dict[str, Any]:
    """What belongs to the stack."""
    return {"bridges": observed.own}


def unchanged(_observed: Observed, desired: Journal) -> str:
    """Say what was found."""
    return f"stack {desired.stack} is entered in the journal"


STEP = Step(Journal, observe, decide, act, facts, unchanged)
